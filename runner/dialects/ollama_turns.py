"""Messages, tools and thinking in Ollama's API: JSON to ``domain`` and back."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from runner.dialects.images import parse_images
from runner.dialects.tools import parse_calls
from runner.dialects.whole import CalledTool, WholeAnswer
from runner.domain.chat import Message
from runner.domain.request import Think
from runner.errors import InvalidRequest

#: A role goes into the template's frame around a turn, so it must not carry control tokens.
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class TurnBody(msgspec.Struct):
    """One message of a chat."""

    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[Any] | None = None
    tool_calls: list[Any] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


def parse_turn(turn: TurnBody, index: int) -> Message:
    """Return message ``index``.

    Raises:
        InvalidRequest: A part of it is mistyped.
    """
    return Message(
        role=parse_role(turn.role, index),
        content=turn.content or "",
        thinking=turn.thinking or "",
        images=parse_images(turn.images, f"messages[{index}].images"),
        tool_calls=parse_calls(turn.tool_calls, f"messages[{index}].tool_calls"),
        tool_name=turn.tool_name or "",
        tool_call_id=turn.tool_call_id or "",
    )


def parse_role(role: str, index: int) -> str:
    """Return the role of message ``index`` in lower case.

    Raises:
        InvalidRequest: It is not a plain word.
    """
    lower = role.lower()
    if not _ROLE.fullmatch(lower):
        raise InvalidRequest(
            f"messages[{index}].role is not a role",
            hint="use system, user, assistant or tool",
            param=f"messages[{index}].role",
        )
    return lower


def parse_think(think: bool | str | None) -> Think:
    """Return whether to think, and how hard; an empty word says nothing.

    Raises:
        InvalidRequest: It is another word.
    """
    match think:
        case None | "":
            return None
        case bool():
            return think
        case "high" | "medium" | "low" | "max":
            return think
        case _:
            raise InvalidRequest(
                f'invalid think value: "{think[:64]}" '
                '(must be "high", "medium", "low", "max", true, or false)',
                param="think",
            )


class CalledFunction(msgspec.Struct):
    """The inside of a call."""

    index: int
    name: str
    arguments: dict[str, Any]


class CallBody(msgspec.Struct):
    """A call in an answer."""

    id: str
    function: CalledFunction


class ReplyMessage(msgspec.Struct, omit_defaults=True):
    """The message of a chat's answer."""

    role: str
    content: str
    thinking: str = ""
    tool_calls: tuple[CallBody, ...] = ()


def reply(answer: WholeAnswer) -> ReplyMessage:
    """Return the message that says all of ``answer``; a call that was cut or broken is text."""
    told = [(n, call) for n, call in enumerate(answer.calls) if call.is_whole]
    rest = "".join(call.as_text for call in answer.calls if not call.is_whole)
    calls = tuple(call_body(index, call) for index, call in told)
    return ReplyMessage("assistant", answer.text + rest, answer.thinking, calls)


def call_body(index: int, call: CalledTool) -> CallBody:
    """Return call ``index`` of an answer, its arguments as an object."""
    return CallBody(call.id, CalledFunction(index, call.name, call.arguments_object))

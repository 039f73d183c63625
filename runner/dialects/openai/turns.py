"""Messages, tool choice and reasoning in OpenAI's chat API: JSON to ``domain`` and back."""

from __future__ import annotations

from typing import Any

import msgspec

from runner.dialects.fields import MOST_TOKENS
from runner.dialects.images import MAX_IMAGES, laid_out, parse_image_url
from runner.dialects.openai import functions
from runner.dialects.tools import parse_called, parse_calls
from runner.dialects.whole import CalledTool, WholeAnswer
from runner.domain.chat import Image, Message
from runner.domain.event import ToolCallDelta
from runner.domain.request import Think
from runner.errors import InvalidRequest, Unsupported

ROLES = {
    "system": "system",
    "developer": "system",  # the newer name of the same thing
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",  # the older name of the same thing
}
#: Names of parts that are images: of the chat API, and of the newer one.
IMAGE_PARTS = ("image_url", "input_image")
_TEXT_PARTS = {"text": "text", "input_text": "text", "refusal": "refusal"}
#: OpenAI's words, and those of others, for how hard to think.
_EFFORTS: dict[str, Think] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "max": "max",
}


class TurnBody(msgspec.Struct):
    """One message; thoughts come back under the names that answers give them."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    tool_calls: list[Any] | None = None
    tool_call_id: str | None = None
    function_call: Any = None


def parse_turn(turn: TurnBody, where: str) -> Message:
    """Return the message ``where``.

    Raises:
        RequestError: A part of it is missing, mistyped or not offered.
    """
    role = ROLES.get(turn.role)
    if role is None:
        raise InvalidRequest(
            f"{where}.role must be one of {', '.join(ROLES)}", param=f"{where}.role"
        )
    calls = parse_calls(turn.tool_calls, f"{where}.tool_calls")
    if turn.function_call:
        calls = (*calls, parse_called(turn.function_call, f"{where}.function_call"))
    if turn.content is None and role != "assistant":
        raise InvalidRequest(f"'{where}.content' is required", param=f"{where}.content")
    content = turn.content or ""
    images: tuple[Image, ...] = ()
    if isinstance(content, list):
        content, images = laid_out(_parts(content, f"{where}.content"))
    thinking = turn.reasoning_content or turn.reasoning
    return Message(
        role=role,
        content=content,
        thinking=thinking if isinstance(thinking, str) and role == "assistant" else "",
        images=images,
        tool_calls=calls,
        tool_name=(turn.name or "") if role == "tool" else "",
        tool_call_id=turn.tool_call_id or "",
    )


def _parts(content: list[dict[str, Any]], where: str) -> list[str | Image]:
    n_images = sum(part.get("type") in IMAGE_PARTS for part in content)
    if n_images > MAX_IMAGES:
        raise InvalidRequest(f"{where} has {n_images} images, at most {MAX_IMAGES}", param=where)
    return [_part(part, f"{where}[{i}]") for i, part in enumerate(content)]


def _part(part: dict[str, Any], where: str) -> str | Image:
    if part.get("type") in IMAGE_PARTS:
        return parse_image_url(part, where)
    kind = part.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest(f"'{where}.type' is required", param=f"{where}.type")
    if kind not in _TEXT_PARTS:
        raise unsupported(f"{where}.type", f"content of type '{kind[:40]}' is not offered")
    text = part.get(_TEXT_PARTS[kind])
    if not isinstance(text, str):
        field = f"{where}.{_TEXT_PARTS[kind]}"
        raise InvalidRequest(f"'{field}' must be a string", param=field)
    return text


def unsupported(param: str, message: str) -> Unsupported:
    """Return the refusal of a field that would change the answer."""
    return Unsupported(
        message,
        hint=f"this version of Corral cannot honour '{param}'; leave it out",
        param=param,
    )


def parse_think(
    effort: Any,
    reasoning: dict[str, Any] | None,
    kwargs: dict[str, Any] | None,
    is_on: bool | None,
    budget: Any,
) -> tuple[Think, int | None]:
    """Return whether to think, how hard, and for how many tokens at most.

    Args:
        effort: ``reasoning_effort``.
        reasoning: OpenRouter's object for both.
        kwargs: ``chat_template_kwargs``.
        is_on: ``enable_thinking``.
        budget: ``thinking_budget_tokens``, llama-server's name.

    Raises:
        RequestError: One of them is not as it should be.
    """
    if budget is None and reasoning:
        n_most = _parse_budget(reasoning.get("max_tokens"), "reasoning.max_tokens")
    else:
        n_most = _parse_budget(budget, "thinking_budget_tokens")
    told = parse_template_kwargs(kwargs)
    if told is False or is_on is False or n_most == 0:
        return False, n_most
    if effort is None and reasoning:
        found = parse_effort(reasoning.get("effort"), "reasoning.effort")
    else:
        found = parse_effort(effort, "reasoning_effort")
    if found is None:
        found = is_on if told is None else told
    return found, n_most


def parse_effort(effort: Any, param: str) -> Think:
    """Return how hard to think.

    Raises:
        InvalidRequest: It is no such word.
    """
    if effort is None:
        return None
    if not isinstance(effort, str) or effort not in _EFFORTS:
        raise InvalidRequest(f"{param} must be one of {', '.join(_EFFORTS)}", param=param)
    return _EFFORTS[effort]


def parse_template_kwargs(kwargs: dict[str, Any] | None) -> Think:
    """Return what vLLM's and llama-server's ``chat_template_kwargs`` say of thinking.

    Raises:
        RequestError: A value is mistyped, or meant for a template's own variable.
    """
    field = "chat_template_kwargs"
    effort: Think = None
    is_on: bool | None = None
    for key, value in (kwargs or {}).items():
        param = f"{field}.{key}"
        if key == "reasoning_effort":
            effort = parse_effort(value, param)
        elif key not in ("enable_thinking", "thinking"):
            raise Unsupported(
                f"{param[:80]} is not offered",
                hint="offered: enable_thinking, thinking and reasoning_effort",
                param=param,
            )
        elif not isinstance(value, bool):
            raise InvalidRequest(f"'{param}' must be a boolean", param=param)
        else:
            is_on = value and is_on is not False
    return is_on if effort is None or is_on is False else effort


def _parse_budget(budget: Any, param: str) -> int | None:
    """How many tokens of thoughts there may be; 0: none, negative: as many as it likes."""
    if budget is None:
        return None
    if not isinstance(budget, int) or isinstance(budget, bool):
        raise InvalidRequest(f"'{param}' must be a whole number", param=param)
    return min(budget, MOST_TOKENS) if budget >= 0 else None


def message_object(said: WholeAnswer, *, in_old_form: bool = False) -> dict[str, Any]:
    """Return the message of an answer; an answer that only calls has no content.

    ``in_old_form``: it calls as ``functions`` has it.

    Thoughts go under both names in use: ``reasoning_content`` is DeepSeek's and llama.cpp's,
    ``reasoning`` that of Ollama and OpenRouter.
    """
    content = said.text or (None if said.calls else "")
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if said.thinking:
        message |= {"reasoning_content": said.thinking, "reasoning": said.thinking}
    if said.calls and in_old_form:
        message["function_call"] = functions.call_object(said.calls)
    elif said.calls:
        message["tool_calls"] = [_call_object(call) for call in said.calls]
    return message


def _call_object(call: CalledTool) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def call_delta(event: ToolCallDelta) -> dict[str, Any]:
    """Return a piece of a call: id and name come with the first one only."""
    function: dict[str, Any] = {"arguments": event.arguments}
    if not event.name:
        return {"index": event.index, "function": function}
    function = {"name": event.name, **function}
    return {"index": event.index, "id": event.id, "type": "function", "function": function}

"""A conversation, as every dialect and every template sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Image:
    """A picture in a turn.

    Attributes:
        content: The bytes of its file, as the caller sent them.
        at: How many characters of the turn's text stand before it.
    """

    content: bytes
    at: int = 0


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call.

    Attributes:
        name: What the model calls it by.
        description: What it is for.
        parameters: JSON schema of its arguments, an object.
        is_strict: Whether arguments must follow the schema; else it is a hint to the model.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_strict: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made in an earlier turn; ``id`` may be empty."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or ``tool``; templates know others too, so any
            lower-case word is passed on.
        content: The text, never parsed for control tokens (see ``engine/prepare.py``).
        thinking: What the assistant thought before it answered.
        images: Pictures that come with the text.
        tool_calls: What the assistant called.
        tool_name: Of a tool's result: which tool.
        tool_call_id: Of a tool's result: which call.
    """

    role: str
    content: str
    thinking: str = ""
    images: tuple[Image, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""

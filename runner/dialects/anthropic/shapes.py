"""The forms of Anthropic's answers, for ``/openapi.json``; ``answers.py`` writes them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class TextShape(msgspec.Struct, tag_field="type", tag="text"):
    """What the model said."""

    text: str


class ThinkingShape(msgspec.Struct, tag_field="type", tag="thinking"):
    """What it thought; there is nothing to sign here."""

    thinking: str
    signature: str


class ToolUseShape(msgspec.Struct, tag_field="type", tag="tool_use"):
    """A tool that it calls."""

    id: str
    name: str
    input: dict[str, Any]


class OutputDetails(msgspec.Struct):
    """Of the answer's tokens: those of thoughts."""

    thinking_tokens: int


class UsageShape(msgspec.Struct):
    """Tokens; those of the prompt are ``input_tokens`` and ``cache_read_input_tokens`` together."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: OutputDetails


class MessageShape(msgspec.Struct):
    """The answer of ``/v1/messages``."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[TextShape | ThinkingShape | ToolUseShape]
    stop_reason: Literal["end_turn", "max_tokens", "tool_use", "stop_sequence"]
    stop_sequence: str | None
    usage: UsageShape


class EventShape(msgspec.Struct):
    """One event of a stream; what else it has depends on its type."""

    type: str


class CountShape(msgspec.Struct):
    """The answer of ``/v1/messages/count_tokens``."""

    input_tokens: int


class ModelShape(msgspec.Struct):
    """One model."""

    type: Literal["model"]
    id: str
    display_name: str
    created_at: str
    lifecycle: Literal["active"]
    max_input_tokens: int | None
    max_tokens: int | None
    capabilities: dict[str, dict[str, Any]]


class ModelsShape(msgspec.Struct):
    """``GET /v1/models`` with the header ``anthropic-version``."""

    data: list[ModelShape]
    has_more: bool
    first_id: str | None
    last_id: str | None

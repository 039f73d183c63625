"""Messages and tools as chat templates see them: plain dictionaries, as ``transformers`` has them.

A template never meets our own objects.  What a dialect's history leaves out and templates rely on
is filled in here: Ollama's clients send tool calls without ids and results without the call they
belong to.  Pure.

Source of the form: the chat templating guide of ``transformers``, and ``_alias_reasoning_fields``
in its ``utils/chat_template_utils.py``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from runner.domain.chat import Message, Tool, ToolCall
from runner.domain.request import Think

#: Mistral's templates refuse ids of any other length.
SHORT_ID = 9


def linked(messages: Sequence[Message]) -> list[Message]:
    """Return ``messages`` in which every tool call has an id, and every result its call's.

    A result that names no call belongs to the first call still open: of its tool, when it names
    one.  Ids made here are the same each time, so that a conversation's beginning stays equal.
    """
    waiting: list[ToolCall] = []
    turns: list[Message] = []
    n_calls = 0
    for message in messages:
        if message.tool_calls:
            calls = []
            for call in message.tool_calls:
                calls.append(call if call.id else replace(call, id=f"call_{n_calls:08d}"))
                n_calls += 1
            waiting += calls
            turns.append(replace(message, tool_calls=tuple(calls)))
        elif message.role == "tool":
            turns.append(_answering(message, waiting))
        else:
            turns.append(message)
    return turns


def _answering(result: Message, waiting: list[ToolCall]) -> Message:
    """``result`` with what is missing of id and name; its call is taken out of ``waiting``."""
    for call in waiting:
        if result.tool_call_id:
            is_its = call.id == result.tool_call_id
        else:
            is_its = result.tool_name in ("", call.name)
        if is_its:
            waiting.remove(call)
            return replace(result, tool_call_id=call.id, tool_name=result.tool_name or call.name)
    return result


def with_short_ids(messages: Sequence[Message]) -> list[Message]:
    """Return ``messages`` with ids of nine letters and digits; those that are so already stay."""

    def short(identity: str) -> str:
        if not identity or (len(identity) == SHORT_ID and identity.isalnum()):
            return identity
        return hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:SHORT_ID]

    return [
        replace(
            message,
            tool_call_id=short(message.tool_call_id),
            tool_calls=tuple(replace(call, id=short(call.id)) for call in message.tool_calls),
        )
        for message in messages
    ]


def system_in_user_turn(messages: Sequence[Message]) -> list[Message] | None:
    """Return ``messages`` with the opening system text put before the first user's.

    For templates that refuse a system role.  ``None``: there is no such pair of turns.
    """
    if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
        return None
    system, user = messages[:2]
    content = f"{system.content}\n\n{user.content}" if system.content else user.content
    return [replace(user, content=content), *messages[2:]]


def turn_object(
    message: Message, *, has_text_arguments: bool = False, in_parts: bool = False
) -> dict[str, Any]:
    """Return one message as a template's dictionary; what it does not have is left out.

    Args:
        message: The turn; where its pictures stand is marked in its text.
        has_text_arguments: Whether those of calls are JSON text, as in OpenAI's API, and no
            dictionary.
        in_parts: Whether its text is to be a list with one part.
    """
    text = message.content
    content = [{"type": "text", "text": text}] if in_parts else text
    turn: dict[str, Any] = {"role": message.role, "content": content}
    if message.thinking:
        # Templates know it under either name; transformers gives both, in this order.
        turn = {"thinking": message.thinking, **turn, "reasoning_content": message.thinking}
    if message.tool_calls:
        turn["tool_calls"] = [_call_object(call, has_text_arguments) for call in message.tool_calls]
    if message.tool_name:
        turn["name"] = message.tool_name
    if message.tool_call_id:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _call_object(call: ToolCall, is_text: bool) -> dict[str, Any]:
    arguments = _plain(call.arguments)
    told = json.dumps(arguments, ensure_ascii=False) if is_text else arguments
    function = {"name": call.name, "arguments": told}
    made: dict[str, Any] = {"type": "function", "function": function}
    return {**made, "id": call.id} if call.id else made


def tool_object(tool: Tool) -> dict[str, Any]:
    """Return one tool as a template's dictionary, in the order that models were trained on."""
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    # Templates walk through the properties without asking whether there are any.
    function["parameters"] = _plain(tool.parameters) or {"type": "object", "properties": {}}
    if tool.is_strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def think_variables(think: Think) -> dict[str, Any]:
    """Return the variables by which templates are told whether, and how hard, to think.

    ``enable_thinking`` is that of Qwen and most others, ``thinking`` that of DeepSeek and
    Granite, ``reasoning_effort`` that of gpt-oss, which knows low, medium and high.
    """
    if think is None:
        return {}
    told: dict[str, Any] = {"enable_thinking": bool(think), "thinking": bool(think)}
    if isinstance(think, str):
        told["reasoning_effort"] = "high" if think == "max" else think
    return told


def _plain(value: Any) -> Any:
    """``value`` in lists and dictionaries alone, however the caller's mappings are made."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value

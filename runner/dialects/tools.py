"""Tools and tool calls in JSON, as Ollama and OpenAI both write them.

The two differ in one point: a call's ``arguments`` are an object in Ollama's API and JSON text of
one in OpenAI's.  Both are taken from both, since histories wander between clients.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from runner.dialects.plain import plain
from runner.domain.chat import Tool, ToolCall
from runner.domain.request import ToolChoice
from runner.errors import InvalidRequest

#: OpenAI's rule for names, with the dot and the length that other clients use.
_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,256}")
MAX_TOOLS = 1024


def parse_tools(raw: list[Any] | None) -> tuple[Tool, ...]:
    """Return the tools that ``raw`` describes; nameless kinds of other services are refused.

    Raises:
        InvalidRequest: One is no function, or a part of it is missing or mistyped.
    """
    return _distinct(raw, "tools", _tool, ".function.name")


def parse_functions(raw: list[Any] | None) -> tuple[Tool, ...]:
    """Return the tools that ``functions`` describes, the older form: each entry is a function.

    Raises:
        InvalidRequest: As ``parse_tools``.
    """
    return _distinct(raw, "functions", _function, ".name")


def _distinct(
    raw: list[Any] | None, field: str, parse: Callable[[Any, str], Tool], name_at: str
) -> tuple[Tool, ...]:
    if raw is not None and len(raw) > MAX_TOOLS:
        raise InvalidRequest(f"{field} has {len(raw)} entries, at most {MAX_TOOLS}", param=field)
    tools = tuple(parse(entry, f"{field}[{index}]") for index, entry in enumerate(raw or ()))
    names = [tool.name for tool in tools]
    for index, name in enumerate(names):
        if name in names[:index]:
            param = f"{field}[{index}]{name_at}"
            raise InvalidRequest(f"{param}: there are two tools named '{name}'", param=param)
    return tools


def _tool(raw: Any, where: str) -> Tool:
    entry = _object(raw, where)
    kind = entry.get("type", "function")
    if kind != "function":
        raise InvalidRequest(f"{where}.type must be 'function'", param=f"{where}.type")
    return _function(entry.get("function"), f"{where}.function")


def _function(raw: Any, inside: str) -> Tool:
    function = _object(raw, inside)
    description = function.get("description")
    if description is not None and not isinstance(description, str):
        raise InvalidRequest(
            f"'{inside}.description' must be a string", param=f"{inside}.description"
        )
    parameters = function.get("parameters")
    if parameters is not None:
        field = f"{inside}.parameters"
        parameters = plain(_object(parameters, field), field)
    return Tool(
        name=_name(function.get("name"), f"{inside}.name"),
        description=description or "",
        parameters=parameters or {},
        is_strict=function.get("strict") is True,
    )


def parse_tool_choice(raw: Any, tools: Sequence[Tool], *, is_parallel: bool) -> ToolChoice:
    """Return whether ``tools`` must be called.

    Raises:
        InvalidRequest: It is none of the forms that there are, or there are no tools to call.
    """
    match raw:
        case None:
            return ToolChoice(is_parallel=is_parallel)
        case "none" | "auto":
            return ToolChoice(raw, is_parallel=is_parallel)
        case "required":
            choice = ToolChoice("required", is_parallel=is_parallel)
        case (
            {"type": "function", "function": {"name": str(name)}}
            | {"type": "function", "name": str(name)}  # of the responses, which others took over
        ) if name:
            choice = ToolChoice("named", name, is_parallel=is_parallel)
        case _:
            raise InvalidRequest(
                "tool_choice must be none, auto, required or one function",
                hint='one function is {"type": "function", "function": {"name": "..."}}',
                param="tool_choice",
            )
    if not tools:
        raise InvalidRequest("tool_choice needs tools", param="tool_choice")
    if choice.name and choice.name not in {tool.name for tool in tools}:
        raise InvalidRequest(
            f"tool_choice: there is no tool '{choice.name[:80]}'", param="tool_choice"
        )
    return choice


def parse_calls(raw: list[Any] | None, where: str) -> tuple[ToolCall, ...]:
    """Return the calls of an assistant's message.

    Raises:
        InvalidRequest: A part of one is missing or mistyped.
    """
    return tuple(_call(entry, f"{where}[{index}]") for index, entry in enumerate(raw or ()))


def _call(raw: Any, where: str) -> ToolCall:
    entry = _object(raw, where)
    identity = entry.get("id")
    if identity is not None and not isinstance(identity, str):
        raise InvalidRequest(f"'{where}.id' must be a string", param=f"{where}.id")
    return parse_called(entry.get("function"), f"{where}.function", identity or "")


def parse_called(raw: Any, inside: str, identity: str = "") -> ToolCall:
    """Return the call that stands ``inside`` a field: a name and its arguments.

    Raises:
        InvalidRequest: One of them is missing or mistyped.
    """
    function = _object(raw, inside)
    arguments = function.get("arguments")
    field = f"{inside}.arguments"
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            raise InvalidRequest(f"'{field}' is not valid JSON", param=field) from None
    return ToolCall(
        name=_name(function.get("name"), f"{inside}.name"),
        arguments=plain(_object({} if arguments is None else arguments, field), field),
        id=identity,
    )


def _name(raw: Any, where: str) -> str:
    if not isinstance(raw, str) or not raw:
        raise InvalidRequest(f"'{where}' is required", param=where)
    if not _NAME.fullmatch(raw):
        raise InvalidRequest(
            f"'{where}' must be letters, digits, '_', '-', '.', ':' or '/', at most 256",
            param=where,
        )
    return raw


def _object(raw: Any, where: str) -> dict[str, Any]:
    if raw is None:
        raise InvalidRequest(f"'{where}' is required", param=where)
    if not isinstance(raw, dict):
        raise InvalidRequest(f"'{where}' must be an object", param=where)
    return raw

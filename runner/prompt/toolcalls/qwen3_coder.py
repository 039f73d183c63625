"""Qwen 3 Coder, Qwen 3.5, Nemotron 3: calls as tags, ``<function=NAME><parameter=KEY>VALUE``.

    <tool_call>
    <function=weather>
    <parameter=city>
    Berlin
    </parameter>
    </function>
    </tool_call>

A value is text as it stands; what the tool's schema wants otherwise is read as JSON.

Source: those models' chat templates.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import json_rule, literal
from runner.prompt.toolcalls.hermes import Hermes
from runner.prompt.toolcalls.parser import (
    Call,
    NotACall,
    Read,
    Source,
    expect,
    one_of,
    some,
    space,
    until,
)

_FUNCTION, _FUNCTION_END = "<function=", "</function>"
_PARAMETER, _PARAMETER_END = "<parameter=", "</parameter>"


class Qwen3Coder:
    """Tags inside the tags of Hermes; some models leave the outer ones out."""

    openers: tuple[str, ...] = (*Hermes.openers, _FUNCTION)
    leads: tuple[str, ...] = ()

    def __init__(self, tools: Sequence[Tool]) -> None:
        """Begin; ``tools`` say of which type each value is."""
        self._properties = {tool.name: tool.parameters.get("properties") or {} for tool in tools}

    def read(self, source: Source, opener: str) -> Read[list[Call]]:
        """Read one call, in tags or, as earlier Qwen models write it, in JSON."""
        if opener != _FUNCTION:
            yield from space(source)
            yield from some(source)
            if source.text[0] == "{":
                return (yield from Hermes().read(source, opener))
            yield from expect(source, _FUNCTION)
        name = (yield from until(source, ">")).strip()
        properties = self._properties.get(name, {})
        arguments: dict[str, Any] = {}
        while True:
            yield from space(source)
            word = yield from one_of(source, (_PARAMETER, _FUNCTION_END))
            if word != _PARAMETER:
                break
            key = (yield from until(source, ">")).strip()
            value = yield from until(source, _PARAMETER_END)
            arguments[key] = _typed(_inner(value), properties.get(key))
        if not word:
            raise NotACall
        if opener != _FUNCTION:
            yield from space(source)
            if not (yield from one_of(source, ("</tool_call>",))) and source.text:
                raise NotACall
        return [Call(name, arguments)]

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of calls; optional values come in the schema's order."""
        rules = ['start: call ("\\n" call)*' if several else "start: call"]
        rules.append("call: " + " | ".join(f"call_{n}" for n in range(len(tools))))
        for n, tool in enumerate(tools):
            head = literal(f"<tool_call>\n{_FUNCTION}{tool.name}>\n")
            foot = literal(f"{_FUNCTION_END}\n</tool_call>")
            required = tool.parameters.get("required") or ()
            names = []
            for i, (key, schema) in enumerate((tool.parameters.get("properties") or {}).items()):
                rule = f"value_{n}_{i}"
                names.append(f"{rule}{'' if key in required else '?'}")
                opening = literal(f"{_PARAMETER}{key}>\n")
                closing = literal(f"\n{_PARAMETER_END}\n")
                body = "TEXT" if _is_text(schema) else f"json_{n}_{i}"
                rules.append(f"{rule}: {opening} {body} {closing}")
                if body != "TEXT":
                    root = {
                        k: v for k, v in tool.parameters.items() if k in ("$defs", "definitions")
                    }
                    rules.append(json_rule(body, {**root, **schema}))
            rules.append(" ".join((f"call_{n}:", head, *names, foot)))
        rules.append(r"TEXT: /[^<\n][^<]*/")
        return "\n".join(rules)


def _inner(value: str) -> str:
    """A value without the line ends that set it off from its tags."""
    return value.removeprefix("\n").removesuffix("\n")


def _is_text(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return True
    kind = schema.get("type")
    return kind == "string" and "enum" not in schema and "const" not in schema


def _typed(value: str, schema: Any) -> Any:
    """``value`` as its schema wants it: text, or JSON where that is no text."""
    kinds = schema.get("type") if isinstance(schema, Mapping) else None
    if kinds == "string":
        return value
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        return value
    # Without a type, what looks like text stays it: 007 and "yes" are more often meant so.
    return read if kinds is not None or isinstance(read, dict | list) else value

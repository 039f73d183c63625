"""Grammars of forced calls: what a family's syntax has in common with all others.

Texts are in llguidance's dialect of Lark, whose ``%json`` takes a JSON schema in the middle of a
grammar, and which names tokens by number (its ``docs/syntax.md``).  Which numbers a model's control
tokens have, only its worker knows: until there, a marker stands as ``<["<tool_call>"]>``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from runner.domain.chat import Tool
from runner.prompt.closed import closed

_MARKER = re.compile(r'<\[("(?:[^"\\]|\\.)*")\]>')


def literal(text: str) -> str:
    """Return ``text`` as a Lark string."""
    return json.dumps(text, ensure_ascii=False)


def spelled(text: str, markers: Iterable[str]) -> str:
    """Return a Lark expression of ``text`` in which each of ``markers`` may be a token."""
    pattern = "|".join(sorted(map(re.escape, markers), key=len, reverse=True))
    parts = re.split(f"({pattern})", text) if pattern else [text]
    return " ".join(
        f"<[{literal(part)}]>" if n % 2 else literal(part) for n, part in enumerate(parts) if part
    )


def resolved(grammar: str, token_of: Callable[[str], int | None]) -> str:
    """Return a grammar with its markers as the tokens they are, or as text where they are none."""

    def named(found: re.Match[str]) -> str:
        token = token_of(json.loads(found[1]))
        return found[1] if token is None else f"<[{token}]>"

    return _MARKER.sub(named, grammar)


def arguments_schema(tool: Tool) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments: an object, whatever the tool says.

    Of a tool that names no parameters, but has a place for them, it is the empty object.
    """
    schema = {**closed(tool.parameters), "type": "object"}
    if tool.parameters.get("properties") == {}:
        schema.setdefault("additionalProperties", False)
    return schema


def properties_of(tool: Tool) -> Mapping[str, Any]:
    """Return what a tool's schema says of each argument; nothing where it is no schema."""
    properties = tool.parameters.get("properties")
    return properties if isinstance(properties, Mapping) else {}


def required_of(tool: Tool) -> Sequence[Any]:
    """Return the arguments that must be there."""
    required = tool.parameters.get("required")
    return required if isinstance(required, list | tuple) else ()


def definitions_of(tool: Tool) -> dict[str, Any]:
    """Return what the parts of a tool's schema may refer to."""
    schema = closed(tool.parameters)
    return {k: v for k, v in schema.items() if k in ("$defs", "definitions")}


def call_rules(
    name: str,
    tools: Sequence[Tool],
    *,
    name_key: str = "name",
    arguments_key: str = "arguments",
) -> list[str]:
    """Return the Lark rules of ``name``: one call of one of ``tools``, as a JSON object.

    Each tool has a schema of its own, so that what it refers to is found at the schema's root.
    """
    names = [f"{name}_{n}" for n in range(len(tools))]
    rules = [f"{name}: {' | '.join(names)}"]
    for rule, tool in zip(names, tools, strict=True):
        definitions = definitions_of(tool)
        schema = {k: v for k, v in arguments_schema(tool).items() if k not in definitions}
        call = {
            "type": "object",
            "properties": {name_key: {"const": tool.name}, arguments_key: schema},
            "required": [name_key, arguments_key],
            "additionalProperties": False,
            **definitions,
        }
        rules.append(json_rule(rule, call))
    return rules


def json_rule(name: str, schema: dict[str, Any]) -> str:
    """Return the Lark rule ``name`` for values of ``schema``."""
    return f"{name}: %json {json.dumps(schema, ensure_ascii=False)}"


def wrapped(
    before: str,
    tools: Sequence[Tool],
    after: str,
    *,
    gap: str | None,
    markers: Iterable[str] = (),
    arguments_key: str = "arguments",
) -> str:
    """Return the grammar of calls as JSON objects, each between two texts.

    ``gap`` stands between two calls; ``None``: there is one call only.
    """
    markers = tuple(markers)
    call = " ".join(filter(None, (spelled(before, markers), "body", spelled(after, markers))))
    start = "start: call" if gap is None else f"start: call ({spelled(gap, markers)} call)*"
    rules = call_rules("body", tools, arguments_key=arguments_key)
    return "\n".join((start, f"call: {call}", *rules))


def listed(
    before: str,
    tools: Sequence[Tool],
    after: str,
    *,
    gap: str | None,
    markers: Iterable[str] = (),
    name_key: str = "name",
    arguments_key: str = "arguments",
) -> str:
    """Return the grammar of calls as JSON objects, all between two texts; see ``wrapped``."""
    markers = tuple(markers)
    body = "body" if gap is None else f"body ({literal(gap)} body)*"
    parts = (spelled(before, markers), body, spelled(after, markers))
    rules = call_rules("body", tools, name_key=name_key, arguments_key=arguments_key)
    return "\n".join((f"start: {' '.join(filter(None, parts))}", *rules))


def by_name(
    tools: Sequence[Tool], head: Callable[[str], str], foot: str, markers: Iterable[str]
) -> list[str]:
    """Return the Lark rules of ``call``: a tool's name in ``head`` of it, arguments, ``foot``."""
    markers = tuple(markers)
    rules = ["call: " + " | ".join(f"call_{n}" for n in range(len(tools)))]
    for n, tool in enumerate(tools):
        parts = (spelled(head(tool.name), markers), f"body_{n}", spelled(foot, markers))
        rules.append(f"call_{n}: {' '.join(filter(None, parts))}")
        rules.append(json_rule(f"body_{n}", arguments_schema(tool)))
    return rules

"""Grammars of forced calls: what a family's syntax has in common with all others.

Texts are in llguidance's dialect of Lark, whose ``%json`` takes a JSON schema in the middle of a
grammar (its ``docs/syntax.md``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from runner.domain.chat import Tool


def literal(text: str) -> str:
    """Return ``text`` as a Lark string."""
    return json.dumps(text, ensure_ascii=False)


def arguments_schema(tool: Tool) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments: an object, whatever the tool says."""
    schema = dict(tool.parameters)
    return {**schema, "type": "object"}


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
        schema = arguments_schema(tool)
        keys = [key for key in ("$defs", "definitions") if key in schema]
        definitions: dict[str, Any] = {key: schema.pop(key) for key in keys}
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
    arguments_key: str = "arguments",
) -> str:
    """Return the grammar of calls as JSON objects between two texts.

    ``gap`` stands between two calls; ``None``: there is one call only.
    """
    parts = [literal(before)] if before else []
    parts += ["body", *([literal(after)] if after else [])]
    start = "start: call" if gap is None else f"start: call ({literal(gap)} call)*"
    rules = call_rules("body", tools, arguments_key=arguments_key)
    return "\n".join((start, f"call: {' '.join(parts)}", *rules))

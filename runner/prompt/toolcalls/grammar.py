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


def call_schema(
    tools: Sequence[Tool], *, name_key: str = "name", arguments_key: str = "arguments"
) -> dict[str, Any]:
    """Return the JSON schema of one call of one of ``tools``, as an object."""
    options = [_one_call(tool, name_key, arguments_key) for tool in tools]
    # Definitions stand at the root of a tool's schema; in a larger one they would not be found.
    return options[0] if len(options) == 1 else {"anyOf": options}


def _one_call(tool: Tool, name_key: str, arguments_key: str) -> dict[str, Any]:
    schema = arguments_schema(tool)
    definitions = popped_definitions(schema)
    return {
        "type": "object",
        "properties": {name_key: {"const": tool.name}, arguments_key: schema},
        "required": [name_key, arguments_key],
        "additionalProperties": False,
        **definitions,
    }


def popped_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """Take its definitions out of ``schema`` and return them: they belong to the root."""
    keys = [key for key in ("$defs", "definitions") if key in schema]
    return {key: schema.pop(key) for key in keys}


def json_rule(name: str, schema: dict[str, Any]) -> str:
    """Return the Lark rule ``name`` for values of ``schema``."""
    return f"{name}: %json {json.dumps(schema, ensure_ascii=False)}"


def wrapped(before: str, schema: dict[str, Any], after: str, *, several: bool, gap: str) -> str:
    """Return the grammar of calls that are JSON between two texts, ``gap`` between two calls."""
    one = (
        f"call: {literal(before)} body {literal(after)}"
        if after
        else (f"call: {literal(before)} body")
    )
    start = f"start: call ({literal(gap)} call)*" if several else "start: call"
    if several and not gap:
        start = "start: call+"
    return "\n".join((start, one, json_rule("body", schema)))

"""Arguments that come as tags, one value each, written on as the JSON of an object.

A value is text as it stands; what the tool's schema wants otherwise is read as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from runner.domain.chat import Tool
from runner.prompt.marks import overlap, unmarked
from runner.prompt.toolcalls.grammar import (
    definitions_of,
    json_rule,
    literal,
    properties_of,
    required_of,
)
from runner.prompt.toolcalls.source import Read, Source, begin, give, more, until
from runner.prompt.toolcalls.told import as_json, read_json


class Members:
    """The arguments of one call, told member by member; the first word tells the call itself."""

    def __init__(self, source: Source, tools: Sequence[Tool]) -> None:
        """Begin; ``tools`` say of which type each value is."""
        self._source = source
        self._properties = {tool.name: properties_of(tool) for tool in tools}
        self._types: Mapping[str, Any] = {}
        self._n = 0

    def begin(self, name: str) -> Read[None]:
        """Tell that a call of ``name`` begins.

        Raises:
            NotACall: No tool has that name.
        """
        yield from begin(self._source, name)
        self._types = self._properties.get(name, {})
        self._n = 0

    def member(self, key: str, closer: str, *, is_set_off: bool = False) -> Read[None]:
        """Read a value up to ``closer`` and past it, and tell it under ``key``; text as it comes.

        ``is_set_off``: line ends that set the value off from its tags are not part of it.
        """
        if self.is_text(key):
            yield from give(self._source, self._head(key))
            yield from told_text(self._source, closer, is_set_off=is_set_off)
            return
        value = yield from until(self._source, closer)
        if is_set_off:
            value = value.removeprefix("\n").removesuffix("\n")
        yield from self.tell(key, typed(value, self.schema(key)))

    def tell(self, key: str, value: Any) -> Read[None]:
        """Tell ``value``, which has been read, under ``key``."""
        yield from give(self._source, self._head(key) + as_json(value))

    def schema(self, key: str) -> Any:
        """Return what the tool says of the value under ``key``; ``None``: nothing."""
        return self._types.get(key)

    def is_text(self, key: str) -> bool:
        """Whether it is text, and nothing else."""
        schema = self.schema(key)
        return isinstance(schema, Mapping) and schema.get("type") == "string"

    def _head(self, key: str) -> str:
        self._n += 1
        return ("{" if self._n == 1 else ", ") + json.dumps(key, ensure_ascii=False) + ": "

    def end(self) -> Read[None]:
        """Tell that the arguments are whole."""
        yield from give(self._source, "}" if self._n else "{}")


def told_text(source: Source, closer: str, *, is_set_off: bool = False) -> Read[None]:
    """Read text up to ``closer`` and past it, and tell it as a JSON string while it comes.

    ``is_set_off``: as for ``Members.member``.
    """
    end = source.spelt(closer)
    yield from give(source, '"')
    if is_set_off:
        while not source.text:
            yield from more(source)
        if source.text[0] == "\n":
            source.take(1)
    while (at := source.text.find(end)) < 0:
        held = max(overlap(source.text, end), overlap(source.text, "\n" + end))
        yield from give(source, _inside(source.take(len(source.text) - held)))
        yield from more(source)
    n = at - (is_set_off and source.text[:at].endswith("\n"))
    yield from give(source, _inside(source.take(n)))
    source.take(at - n + len(end))
    yield from give(source, '"')


def _inside(text: str) -> str:
    """``text`` as it stands inside a JSON string."""
    return json.dumps(unmarked(text), ensure_ascii=False)[1:-1]


def member_rules(tools: Sequence[Tool], opening: str, closing: str) -> tuple[list[str], list[str]]:
    """Return for each tool the Lark expression of its members, and the rules these need.

    Optional members come in the schema's order.

    Args:
        tools: The tools; those of the n-th have rules that end with its number.
        opening: Lark expression of what stands before a value; ``KEY`` stands for its key, and
            ``KIND`` for whether it is text, ``true`` or ``false``.
        closing: Lark expression of what stands behind it, likewise.
    """
    bodies, rules = [], []
    for n, tool in enumerate(tools):
        required = required_of(tool)
        names = []
        for i, (key, schema) in enumerate(properties_of(tool).items()):
            names.append(f"value_{n}_{i}{'' if key in required else '?'}")
            body = "TEXT" if _is_text(schema) else f"json_{n}_{i}"
            head = opening.replace("KIND", "true" if body == "TEXT" else "false")
            head = head.replace("KEY", literal(key)[1:-1])
            foot = closing.replace("KEY", literal(key)[1:-1])
            rules.append(f"value_{n}_{i}: {head} {body} {foot}")
            if body != "TEXT":
                inner = schema if isinstance(schema, dict) else {}
                rules.append(json_rule(body, {**definitions_of(tool), **inner}))
        bodies.append(" ".join(names))
    return bodies, [*rules, r"TEXT: /[^<\n][^<]*/"]


def _is_text(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return True
    kind = schema.get("type")
    return kind == "string" and "enum" not in schema and "const" not in schema


def typed(value: str, schema: Any) -> Any:
    """Return ``value`` as its schema wants it: text, or JSON where that is no text."""
    kinds = schema.get("type") if isinstance(schema, Mapping) else None
    try:
        read = read_json(value)
    except (ValueError, RecursionError):
        return value
    # Without a type, what looks like text stays it: 007 and "yes" are more often meant so.
    return read if kinds is not None or isinstance(read, dict | list) else value

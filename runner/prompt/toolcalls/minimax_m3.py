"""MiniMax M3: calls as tags, each behind a token that says that it is one.

With ``#`` for that token, ``]<]minimax[>[``:

    #<tool_call>
    #<invoke name="weather">#<city>Berlin#</city>#<tags>#<item>wind#</item>#</tags>#</invoke>
    #</tool_call>

Lists and objects come as tags inside of tags.

Source: that model's chat template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import spelled
from runner.prompt.toolcalls.invoke import attribute
from runner.prompt.toolcalls.members import Members, member_rules, typed
from runner.prompt.toolcalls.source import (
    NotACall,
    Read,
    Source,
    close,
    expect,
    name_until,
    one_of,
    some,
    space,
    until,
)

MARK = "]<]minimax[>["
_BEGIN, _END = "<tool_call>", "</tool_call>"
CONTROLS = (MARK, _BEGIN, _END)
_ITEM = "item"
_MAX_DEPTH = 64


class MinimaxM3:
    """One block with all calls of an answer."""

    openers: tuple[str, ...] = (MARK,)
    leads: tuple[str, ...] = ()

    def __init__(self, tools: Sequence[Tool]) -> None:
        """Begin; ``tools`` say of which type each value is."""
        self._tools = tools

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read the block; tags that end something may be missing."""
        yield from expect(source, _BEGIN)
        while True:
            yield from space(source)
            if not (yield from one_of(source, (MARK,))):
                return
            if not (yield from one_of(source, ("<invoke",))):
                yield from close(source, (_END,))
                return
            yield from self._call(source)

    def _call(self, source: Source) -> Read[None]:
        """Read one call behind ``<invoke``."""
        members = Members(source, self._tools)
        yield from members.begin((yield from attribute(source)))
        while True:
            yield from space(source)
            yield from some(source)  # the end of the answer is not the call's
            if not (yield from one_of(source, (MARK,))):
                break
            if (yield from one_of(source, ("</invoke>",))):
                break
            yield from expect(source, "<")
            key = yield from name_until(source, ">")
            if members.is_text(key):
                yield from members.member(key, MARK)
                yield from expect(source, f"</{key}>")
            else:
                value = yield from _value(source, key, members.schema(key), 0)
                yield from members.tell(key, value)
        yield from members.end()

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of calls; lists and objects come in JSON, which a schema can say."""
        mark = spelled(MARK, CONTROLS)
        opening, closing = f'{mark} "<KEY>"', f'{mark} "</KEY>"'
        bodies, rules = member_rules(tools, opening, closing)
        calls = "call+" if several else "call"
        first, last = spelled(f"{MARK}{_BEGIN}\n", CONTROLS), spelled(f"{MARK}{_END}", CONTROLS)
        lines = [f"start: {first} {calls} {last}"]
        lines.append("call: " + " | ".join(f"call_{n}" for n in range(len(tools))))
        foot = spelled(f"{MARK}</invoke>\n", CONTROLS)
        for n, (tool, body) in enumerate(zip(tools, bodies, strict=True)):
            head = spelled(f'{MARK}<invoke name="{tool.name}">', CONTROLS)
            lines.append(" ".join(filter(None, (f"call_{n}:", head, body, foot))))
        return "\n".join((*lines, *rules))


def _value(source: Source, key: str, schema: Any, depth: int) -> Read[Any]:
    """Read what is in the tag ``key`` and past its end; tags inside make a list or an object."""
    if depth > _MAX_DEPTH:
        raise NotACall
    text = yield from until(source, MARK)
    inner: list[tuple[str, Any]] = []
    while not (yield from one_of(source, (f"</{key}>",))):
        yield from expect(source, "<")
        name = yield from name_until(source, ">")
        value = yield from _value(source, name, _schema_in(schema, name), depth + 1)
        inner.append((name, value))
        yield from space(source)
        yield from expect(source, MARK)
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if not inner:
        if not text.strip() and kind in ("array", "object"):
            return [] if kind == "array" else {}
        return typed(text, schema)
    if kind != "object" and all(name == _ITEM for name, _ in inner):
        return [value for _, value in inner]
    return dict(inner)


def _schema_in(schema: Any, name: str) -> Any:
    if not isinstance(schema, Mapping):
        return None
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and name in properties:
        return properties[name]
    return schema.get("items") if name == _ITEM else None

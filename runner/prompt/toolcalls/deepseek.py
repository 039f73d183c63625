"""DeepSeek R1, V3 and V3.1, on their control tokens.

All calls of an answer stand in one section.  In it V3 and R1 write for each call the word
``function``, a separator, the name, and the JSON in a fence on lines of its own; V3.1 writes the
name, a separator and the bare JSON.

Source: those models' chat templates.  The bars in the markers are U+FF5C, the low lines U+2581.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import arguments_schema, json_rule, literal
from runner.prompt.toolcalls.parser import (
    Call,
    NotACall,
    Read,
    Source,
    as_call,
    expect,
    json_value,
    one_of,
    space,
    until,
)

CALLS_BEGIN = "<\uff5ctool\u2581calls\u2581begin\uff5c>"
CALLS_END = "<\uff5ctool\u2581calls\u2581end\uff5c>"
CALL_BEGIN = "<\uff5ctool\u2581call\u2581begin\uff5c>"
CALL_END = "<\uff5ctool\u2581call\u2581end\uff5c>"
SEPARATOR = "<\uff5ctool\u2581sep\uff5c>"


class DeepSeek:
    """One section with all calls of an answer."""

    openers: tuple[str, ...] = (CALLS_BEGIN, CALL_BEGIN)
    leads: tuple[str, ...] = ()

    def __init__(self, *, has_fence: bool) -> None:
        """Begin; ``has_fence``: the model writes JSON in a fence, and its kind before the name."""
        self._has_fence = has_fence

    def read(self, source: Source, opener: str) -> Read[list[Call]]:
        """Read the section; its end, or the answer's, may stand for missing markers."""
        calls: list[Call] = []
        is_open = opener == CALL_BEGIN
        while True:
            if not is_open:
                yield from space(source)
                is_open = bool((yield from one_of(source, (CALL_BEGIN,))))
            if not is_open:
                break
            calls.append((yield from _call(source)))
            is_open = False
        if opener == CALLS_BEGIN and source.text:
            yield from expect(source, CALLS_END)
        return calls

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of a section, in the model's own form."""
        calls = "call+" if several else "call"
        rules = [f"start: {literal(CALLS_BEGIN)} {calls} {literal(CALLS_END)}"]
        rules.append("call: " + " | ".join(f"call_{n}" for n in range(len(tools))))
        for n, tool in enumerate(tools):
            if self._has_fence:
                head = f"{CALL_BEGIN}function{SEPARATOR}{tool.name}\n```json\n"
                foot = f"\n```{CALL_END}"
            else:
                head, foot = f"{CALL_BEGIN}{tool.name}{SEPARATOR}", CALL_END
            rules.append(f"call_{n}: {literal(head)} body_{n} {literal(foot)}")
            rules.append(json_rule(f"body_{n}", arguments_schema(tool)))
        return "\n".join(rules)


def _call(source: Source) -> Read[Call]:
    """Read one call behind its opening marker."""
    name = (yield from until(source, SEPARATOR)).strip()
    yield from space(source)
    if name == "function" and not source.text.startswith("{"):
        name = (yield from until(source, "\n")).strip()
        yield from space(source)
    has_fence = bool((yield from one_of(source, ("```json", "```"))))
    yield from space(source)
    arguments = yield from json_value(source)
    yield from space(source)
    if has_fence:
        yield from one_of(source, ("```",))
        yield from space(source)
    if not (yield from one_of(source, (CALL_END,))) and source.text:
        raise NotACall
    return as_call({"name": name, "arguments": arguments})

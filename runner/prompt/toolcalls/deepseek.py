"""DeepSeek R1, V3 and V3.1, on their control tokens.

All calls of an answer stand in one section.  In it V3 and R1 write for each call the word
``function``, a separator, the name, and the JSON in a fence on lines of its own; V3.1 writes the
name, a separator and the bare JSON.

Source: those models' chat templates.  The bars in the markers are U+FF5C, the low lines U+2581.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import by_name, spelled
from runner.prompt.toolcalls.json_calls import arguments
from runner.prompt.toolcalls.source import (
    Read,
    Source,
    close,
    name_until,
    one_of,
    section,
    space,
)

CALLS_BEGIN = "<\uff5ctool\u2581calls\u2581begin\uff5c>"
CALLS_END = "<\uff5ctool\u2581calls\u2581end\uff5c>"
CALL_BEGIN = "<\uff5ctool\u2581call\u2581begin\uff5c>"
CALL_END = "<\uff5ctool\u2581call\u2581end\uff5c>"
SEPARATOR = "<\uff5ctool\u2581sep\uff5c>"
CONTROLS = (CALLS_BEGIN, CALLS_END, CALL_BEGIN, CALL_END, SEPARATOR)


class DeepSeek:
    """One section with all calls of an answer."""

    openers: tuple[str, ...] = (CALLS_BEGIN, CALL_BEGIN)
    leads: tuple[str, ...] = ()

    def __init__(self, *, has_fence: bool) -> None:
        """Begin; ``has_fence``: the model writes JSON in a fence, and its kind before the name."""
        self._has_fence = has_fence

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read the section; markers that end something may be missing."""
        is_call = opener == CALL_BEGIN
        yield from section(source, CALL_BEGIN, _call, CALLS_END, is_call=is_call)

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of a section, in the model's own form."""
        calls = "call+" if several else "call"
        start = f"start: {spelled(CALLS_BEGIN, CONTROLS)} {calls} {spelled(CALLS_END, CONTROLS)}"
        if self._has_fence:
            head, foot = f"{CALL_BEGIN}function{SEPARATOR}%s\n```json\n", f"\n```{CALL_END}"
        else:
            head, foot = f"{CALL_BEGIN}%s{SEPARATOR}", CALL_END
        return "\n".join((start, *by_name(tools, lambda name: head % name, foot, CONTROLS)))


def _call(source: Source) -> Read[None]:
    """Read one call behind its opening marker."""
    name = yield from name_until(source, SEPARATOR)
    yield from space(source)
    if name == "function" and not source.text.startswith("{"):
        name = yield from name_until(source, "\n")
        yield from space(source)
    has_fence = bool((yield from one_of(source, ("```json", "```"))))
    yield from space(source)
    yield from arguments(source, name)
    if has_fence:
        yield from close(source, ("```",))
    yield from close(source, (CALL_END,))

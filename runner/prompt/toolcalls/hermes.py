"""Hermes, Qwen 2.5 and 3, Granite 4 and kin: JSON between ``<tool_call>`` and ``</tool_call>``.

Source: the tool sections of those models' chat templates.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import wrapped
from runner.prompt.toolcalls.json_calls import call_list
from runner.prompt.toolcalls.source import Read, Source, close, space

OPENER, CLOSER = "<tool_call>", "</tool_call>"
CONTROLS = (OPENER, CLOSER)


class Hermes:
    """One JSON object between two tags, once for each call; some models write an array."""

    openers: tuple[str, ...] = (OPENER,)
    leads: tuple[str, ...] = ()

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read one call; the closing tag may be missing."""
        yield from space(source)
        yield from call_list(source)
        yield from close(source, (CLOSER,))

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of calls on lines of their own."""
        gap = "\n" if several else None
        return wrapped(f"{OPENER}\n", tools, f"\n{CLOSER}", gap=gap, markers=CONTROLS)

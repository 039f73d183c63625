"""Hermes, Qwen 2.5 and 3, Granite 4 and kin: JSON between ``<tool_call>`` and ``</tool_call>``.

Source: the tool sections of those models' chat templates.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import wrapped
from runner.prompt.toolcalls.parser import (
    Call,
    NotACall,
    Read,
    Source,
    as_call,
    json_value,
    one_of,
    space,
)


class Hermes:
    """One JSON object between two tags, once for each call."""

    openers: tuple[str, ...] = ("<tool_call>",)
    leads: tuple[str, ...] = ()

    def read(self, source: Source, opener: str) -> Read[list[Call]]:
        """Read one call; the end of the answer may stand for the closing tag."""
        yield from space(source)
        value = yield from json_value(source)
        yield from space(source)
        if not (yield from one_of(source, ("</tool_call>",))) and source.text:
            raise NotACall
        return [as_call(value)]

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of calls on lines of their own."""
        gap = "\n" if several else None
        return wrapped("<tool_call>\n", tools, "\n</tool_call>", gap=gap)

"""Families whose calls are one array of JSON objects behind a marker.

    <|tool_call|>[{"name": …, "arguments": …}, …]                   Granite 3
    <|tool_call|>[…]<|/tool_call|>, also functools[…]               Phi 4
    <TOOLCALL>[…]</TOOLCALL>                                        Nemotron Nano 2
    <tool_calls>[…]</tool_calls>                                    Apriel
    functools[…]                                                    Firefunction

MiniMax-M1 has the tags of Apriel, but writes one object on each line.

Source: those models' chat templates; of Phi 4 its model card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import listed
from runner.prompt.toolcalls.json_calls import call_list
from runner.prompt.toolcalls.source import Read, Source, close, space


@dataclass(frozen=True, slots=True)
class Listed:
    """All calls of an answer at once, told one after the other.

    Attributes:
        openers: Markers that begin the calls; the first one is the model's own.
        closer: The marker that ends them; empty: there is none.
        has_lines: Objects stand on lines of their own instead of in an array.
    """

    openers: tuple[str, ...]
    closer: str = ""
    has_lines: bool = False
    leads: tuple[str, ...] = ()

    @property
    def controls(self) -> tuple[str, ...]:
        """Those of its markers that may be control tokens."""
        return tuple(word for word in (*self.openers, self.closer) if word[:1] == "<")

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read an array, or objects up to the closing marker."""
        yield from space(source)
        yield from call_list(source)
        closers = (self.closer,) if self.closer else ()
        while not (yield from close(source, closers)) and source.text[:1] == "{":
            yield from call_list(source)

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of the model's own form."""
        before, gap, after = ("\n", "\n", "\n") if self.has_lines else ("[", ", ", "]")
        return listed(
            self.openers[0] + before,
            tools,
            after + self.closer,
            gap=gap if several else None,
            markers=self.controls,
        )


GRANITE = Listed(("<|tool_call|>",), "<|/tool_call|>")
PHI = Listed(("<|tool_call|>", "functools"), "<|/tool_call|>")
NEMOTRON = Listed(("<TOOLCALL>",), "</TOOLCALL>")
APRIEL = Listed(("<tool_calls>",), "</tool_calls>")
MINIMAX = Listed(("<tool_calls>",), "</tool_calls>", has_lines=True)
FIREFUNCTION = Listed(("functools",))

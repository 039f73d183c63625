"""Command R, R+, R7B and A: a list of actions, ``{"tool_name": …, "parameters": …}``.

    <|START_ACTION|>[{"tool_call_id": "0", "tool_name": …, "parameters": …}]<|END_ACTION|>

R and R+ of 2024 write the word ``Action:`` and the list in a fence.

Source: those models' chat templates.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import listed
from runner.prompt.toolcalls.json_calls import call_list
from runner.prompt.toolcalls.source import Read, Source, close, expect, space

BEGIN, END = "<|START_ACTION|>", "<|END_ACTION|>"
WORD = "Action:"
CONTROLS = (BEGIN, END)


class Command:
    """One list with all calls of an answer."""

    openers: tuple[str, ...]
    leads: tuple[str, ...] = ()

    def __init__(self, *, has_word: bool) -> None:
        """Begin; ``has_word``: the model has no tokens for it."""
        self.openers = (WORD,) if has_word else (BEGIN,)

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read the list."""
        yield from space(source)
        if opener == WORD:
            yield from expect(source, "```json")
            yield from space(source)
        yield from call_list(source)
        yield from close(source, (END,) if opener == BEGIN else ("```",))

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of a list in the model's own form, without ids."""
        has_word = self.openers == (WORD,)
        return listed(
            f"{WORD} ```json\n[" if has_word else f"{BEGIN}[",
            tools,
            "]\n```" if has_word else f"]{END}",
            gap=", " if several else None,
            markers=CONTROLS,
            name_key="tool_name",
            arguments_key="parameters",
        )

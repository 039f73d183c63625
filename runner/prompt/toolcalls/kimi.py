"""Kimi K2: a section of calls on control tokens, each with an id that holds the name.

    <|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>
    {"city": "Berlin"}<|tool_call_end|><|tool_calls_section_end|>

Source: the chat templates of Kimi K2 and Kimi K2 Thinking.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import by_name, spelled
from runner.prompt.toolcalls.json_calls import arguments
from runner.prompt.toolcalls.source import Read, Source, close, name_until, section, space

CALLS_BEGIN, CALLS_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
CALL_BEGIN, CALL_END = "<|tool_call_begin|>", "<|tool_call_end|>"
ARGUMENTS = "<|tool_call_argument_begin|>"
CONTROLS = (CALLS_BEGIN, CALLS_END, CALL_BEGIN, CALL_END, ARGUMENTS)


class Kimi:
    """One section with all calls of an answer."""

    openers: tuple[str, ...] = (CALLS_BEGIN, CALL_BEGIN)
    leads: tuple[str, ...] = ()

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read the section; markers that end something may be missing."""
        is_call = opener == CALL_BEGIN
        yield from section(source, CALL_BEGIN, _call, CALLS_END, is_call=is_call)

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of a section; without numbers, which would have to ascend."""
        calls = "call+" if several else "call"
        start = f"start: {spelled(CALLS_BEGIN, CONTROLS)} {calls} {spelled(CALLS_END, CONTROLS)}"

        def head(name: str) -> str:
            return f"{CALL_BEGIN}functions.{name}:0{ARGUMENTS}"

        return "\n".join((start, *by_name(tools, head, CALL_END, CONTROLS)))


def _call(source: Source) -> Read[None]:
    """Read one call behind its opening marker."""
    label = yield from name_until(source, ARGUMENTS)
    name, colon, number = label.rpartition(":")
    name = (name if colon and number.strip().isdigit() else label).removeprefix("functions.")
    yield from space(source)
    yield from arguments(source, name)
    yield from close(source, (CALL_END,))

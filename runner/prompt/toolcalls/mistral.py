"""Mistral: ``[TOOL_CALLS]`` and then JSON, or a name and JSON.

Up to Nemo and Large 2 one array follows, ``[{"name": …, "arguments": …, "id": …}]``; later models
write ``[TOOL_CALLS]name[CALL_ID]id[ARGS]{…}`` or ``[TOOL_CALLS]name[ARGS]{…}`` for each call.

Source: those models' chat templates.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.chat import Tool
from runner.prompt.marks import CONTROL
from runner.prompt.toolcalls.grammar import by_name, listed
from runner.prompt.toolcalls.json_calls import arguments, call_list
from runner.prompt.toolcalls.source import (
    MAX_NAME,
    NotACall,
    Read,
    Source,
    more,
    name_until,
    one_of,
    some,
    space,
)

OPENER = "[TOOL_CALLS]"
ARGUMENTS = "[ARGS]"
CALL_ID = "[CALL_ID]"
CONTROLS = (OPENER, ARGUMENTS, CALL_ID)


class Mistral:
    """Reads both forms; writes the one that the template has."""

    openers: tuple[str, ...] = (OPENER,)
    leads: tuple[str, ...] = ()

    def __init__(self, *, has_names: bool) -> None:
        """Begin; ``has_names``: the model writes names before the arguments."""
        self._has_names = has_names

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read an array of calls, one object, or one call with its name first."""
        yield from space(source)
        yield from some(source)
        if source.text[0] == "{" or source.text[0] == "[":
            yield from call_list(source)
            return
        name = yield from _name(source)
        yield from space(source)
        yield from arguments(source, name)

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of the model's own form."""
        if not self._has_names:
            gap = ", " if several else None
            return listed(f"{OPENER}[", tools, "]", gap=gap, markers=CONTROLS)
        start = f"start: call{'+' if several else ''}"
        return "\n".join(
            (start, *by_name(tools, lambda name: f"{OPENER}{name}{ARGUMENTS}", "", CONTROLS))
        )


def _name(source: Source) -> Read[str]:
    """Read the name, and the id after it, which is not kept: ids are made here."""
    parts: list[str] = []
    while True:
        head = yield from _up_to_marker(source)
        parts.append(head)
        if sum(map(len, parts)) > MAX_NAME:
            raise NotACall
        if (yield from one_of(source, (CALL_ID,))):
            yield from name_until(source, ARGUMENTS)
            return "".join(parts).strip()
        if (yield from one_of(source, (ARGUMENTS,))):
            return "".join(parts).strip()
        if source.text[:1] == "{":  # the oldest form has no marker between
            return "".join(parts).strip()
        yield from some(source)
        parts.append(source.take(1))


def _up_to_marker(source: Source) -> Read[str]:
    """Read characters that can begin no marker."""
    parts: list[str] = []
    while True:
        stops = [at for at, char in enumerate(source.text) if char in ("[", "{", CONTROL)]
        parts.append(source.take(stops[0] if stops else len(source.text)))
        if stops:
            return "".join(parts)
        if sum(map(len, parts)) > MAX_NAME:
            raise NotACall
        yield from more(source)

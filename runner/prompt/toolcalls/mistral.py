"""Mistral: ``[TOOL_CALLS]`` and then JSON, or a name and JSON.

Up to Nemo and Large 2 one array follows, ``[{"name": …, "arguments": …, "id": …}]``; later models
write ``[TOOL_CALLS]name[CALL_ID]id[ARGS]{…}`` or ``[TOOL_CALLS]name[ARGS]{…}`` for each call.

Source: those models' chat templates.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import (
    arguments_schema,
    call_rules,
    json_rule,
    literal,
)
from runner.prompt.toolcalls.parser import (
    Call,
    NotACall,
    Read,
    Source,
    as_call,
    json_value,
    more,
    one_of,
    some,
    space,
    until,
)

OPENER = "[TOOL_CALLS]"
ARGUMENTS = "[ARGS]"
CALL_ID = "[CALL_ID]"
_MAX_NAME = 256  # characters of name and id; longer text is no name


class Mistral:
    """Reads both forms; writes the one that the template has."""

    openers: tuple[str, ...] = (OPENER,)
    leads: tuple[str, ...] = ()

    def __init__(self, *, has_names: bool) -> None:
        """Begin; ``has_names``: the model writes names before the arguments."""
        self._has_names = has_names

    def read(self, source: Source, opener: str) -> Read[list[Call]]:
        """Read an array of calls, one object, or one call with its name first."""
        yield from space(source)
        yield from some(source)
        if source.text[0] in "[{":
            value = yield from json_value(source)
            return [as_call(entry) for entry in (value if isinstance(value, list) else [value])]
        name = yield from _name(source)
        yield from space(source)
        arguments = yield from json_value(source)
        return [as_call({"name": name, "arguments": arguments})]

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of the model's own form."""
        if not self._has_names:
            more_calls = ' (", " body)*' if several else ""
            start = f"start: {literal(OPENER + '[')} body{more_calls} {literal(']')}"
            return "\n".join((start, *call_rules("body", tools)))
        rules = [f"start: call{'+' if several else ''}"]
        names = [f"call_{n}" for n in range(len(tools))]
        rules.append(f"call: {' | '.join(names)}")
        for n, tool in enumerate(tools):
            head = literal(f"{OPENER}{tool.name}{ARGUMENTS}")
            rules += [f"call_{n}: {head} body_{n}", json_rule(f"body_{n}", arguments_schema(tool))]
        return "\n".join(rules)


def _name(source: Source) -> Read[str]:
    """Read the name, and the id after it, which is not kept: ids are made here."""
    parts: list[str] = []
    while True:
        head = yield from _up_to_marker(source)
        parts.append(head)
        if sum(map(len, parts)) > _MAX_NAME:
            raise NotACall
        if (yield from one_of(source, (CALL_ID,))):
            yield from until(source, ARGUMENTS)
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
        stops = [at for at, char in enumerate(source.text) if char in "[{"]
        parts.append(source.take(stops[0] if stops else len(source.text)))
        if stops:
            return "".join(parts)
        if sum(map(len, parts)) > _MAX_NAME:
            raise NotACall
        yield from more(source)

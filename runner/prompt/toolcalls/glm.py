"""GLM 4.5 to 4.7, Laguna: a name, then keys and values in tags of their own.

    <tool_call>weather
    <arg_key>city</arg_key>
    <arg_value>Berlin</arg_value>
    </tool_call>

From 4.7 on without the line ends.

Source: those models' chat templates.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.chat import Tool
from runner.prompt.toolcalls import hermes
from runner.prompt.toolcalls.grammar import spelled
from runner.prompt.toolcalls.hermes import Hermes
from runner.prompt.toolcalls.members import Members, member_rules
from runner.prompt.toolcalls.source import (
    MAX_NAME,
    NotACall,
    Read,
    Source,
    close,
    expect,
    more,
    name_until,
    one_of,
    some,
    space,
)

_KEY, _KEY_END = "<arg_key>", "</arg_key>"
_VALUE, _VALUE_END = "<arg_value>", "</arg_value>"
CONTROLS = (*hermes.CONTROLS, _KEY, _KEY_END, _VALUE, _VALUE_END)


class Glm:
    """One call between the tags of Hermes."""

    openers: tuple[str, ...] = Hermes.openers
    leads: tuple[str, ...] = ()

    def __init__(self, tools: Sequence[Tool], *, has_lines: bool) -> None:
        """Begin.

        Args:
            tools: Say of which type each value is.
            has_lines: Whether name, keys and values stand on lines of their own.
        """
        self._tools = tools
        self._gap = "\n" if has_lines else ""

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read one call."""
        yield from space(source)
        yield from some(source)
        if source.text[0] == "{":
            yield from Hermes().read(source, opener)
            return
        members = Members(source, self._tools)
        yield from members.begin((yield from _name(source)))
        while True:
            yield from space(source)
            if not (yield from one_of(source, (_KEY,))):
                break
            key = yield from name_until(source, _KEY_END)
            yield from space(source)
            yield from expect(source, _VALUE)
            yield from members.member(key, _VALUE_END)
        yield from some(source)  # the end of the answer is not the call's
        yield from members.end()
        yield from close(source, (hermes.CLOSER,))

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of calls; optional values come in the schema's order."""
        gap = self._gap
        opening = spelled(f"{_KEY}KEY{_KEY_END}{gap}{_VALUE}", CONTROLS)
        closing = spelled(f"{_VALUE_END}{gap}", CONTROLS)
        bodies, rules = member_rules(tools, opening, closing)
        start = 'start: call ("\\n" call)*' if several else "start: call"
        lines = [start, "call: " + " | ".join(f"call_{n}" for n in range(len(tools)))]
        for n, (tool, body) in enumerate(zip(tools, bodies, strict=True)):
            head = spelled(f"{hermes.OPENER}{tool.name}{gap}", CONTROLS)
            foot = spelled(hermes.CLOSER, CONTROLS)
            lines.append(" ".join(filter(None, (f"call_{n}:", head, body, foot))))
        return "\n".join((*lines, *rules))


def _name(source: Source) -> Read[str]:
    """Read a name up to the line's end or the next tag, which is left there."""
    stops = ("\n", "<", source.spelt(_KEY)[0], source.spelt(hermes.CLOSER)[0])
    n = 0
    while True:
        while n < len(source.text) and source.text[n] not in stops:
            n += 1
        if n > MAX_NAME:
            raise NotACall
        if n < len(source.text):
            return source.take(n).strip()
        yield from more(source)

"""Qwen 3 Coder, Qwen 3.5, Nemotron 3: calls as tags, ``<function=NAME><parameter=KEY>VALUE``.

    <tool_call>
    <function=weather>
    <parameter=city>
    Berlin
    </parameter>
    </function>
    </tool_call>

Seed-OSS has the same between tags of its own.

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
    Read,
    Source,
    close,
    expect,
    name_until,
    one_of,
    some,
    space,
)

_SEED = ("<seed:tool_call>", "</seed:tool_call>")
_FUNCTION, _FUNCTION_END = "<function=", "</function>"
_PARAMETER, _PARAMETER_END = "<parameter=", "</parameter>"
CONTROLS = (*hermes.CONTROLS, *_SEED)


class Qwen3Coder:
    """Tags inside the tags of Hermes; some models leave the outer ones out."""

    openers: tuple[str, ...] = (hermes.OPENER, _SEED[0], _FUNCTION)
    leads: tuple[str, ...] = ()

    def __init__(self, tools: Sequence[Tool], *, is_seed: bool = False) -> None:
        """Begin; ``tools`` say of which type each value is."""
        self._tools = tools
        self._outer = _SEED if is_seed else hermes.CONTROLS

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read one call, in tags or, as earlier Qwen models write it, in JSON."""
        is_inside = opener != _FUNCTION
        if is_inside:
            yield from space(source)
            yield from some(source)
            if source.text[0] == "{":
                yield from Hermes().read(source, opener)
                return
            yield from expect(source, _FUNCTION)
        while True:
            yield from self._call(source)
            yield from space(source)
            if not is_inside or not (yield from one_of(source, (_FUNCTION,))):
                break
        yield from close(source, (hermes.CLOSER, _SEED[1]))

    def _call(self, source: Source) -> Read[None]:
        """Read one call behind ``<function=``."""
        members = Members(source, self._tools)
        yield from members.begin((yield from name_until(source, ">")))
        while True:
            yield from space(source)
            if not (yield from one_of(source, (_PARAMETER,))):
                break
            key = yield from name_until(source, ">")
            yield from members.member(key, _PARAMETER_END, is_set_off=True)
        yield from some(source)  # the end of the answer is not the call's
        yield from members.end()
        yield from close(source, (_FUNCTION_END,))

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of calls; optional values come in the schema's order."""
        opening, closing = f'"{_PARAMETER}KEY>\\n"', f'"\\n{_PARAMETER_END}\\n"'
        bodies, rules = member_rules(tools, opening, closing)
        start = 'start: call ("\\n" call)*' if several else "start: call"
        lines = [start, "call: " + " | ".join(f"call_{n}" for n in range(len(tools)))]
        foot = spelled(f"{_FUNCTION_END}\n{self._outer[1]}", CONTROLS)
        for n, (tool, body) in enumerate(zip(tools, bodies, strict=True)):
            head = spelled(f"{self._outer[0]}\n{_FUNCTION}{tool.name}>\n", CONTROLS)
            lines.append(" ".join(filter(None, (f"call_{n}:", head, body, foot))))
        return "\n".join((*lines, *rules))

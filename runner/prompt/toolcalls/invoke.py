"""MiniMax M2, DeepSeek V3.2 and V4: calls as ``<invoke name="…">`` with ``<parameter name="…">``.

    <minimax:tool_call>
    <invoke name="weather">
    <parameter name="city">Berlin</parameter>
    </invoke>
    </minimax:tool_call>

DeepSeek puts a word of its own into each tag, and says of each value whether it is text; the tag
around its calls is ``function_calls`` in V3.2, and ``tool_calls`` in V4.

Source: those models' chat templates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import spelled
from runner.prompt.toolcalls.members import Members, member_rules
from runner.prompt.toolcalls.source import (
    NotACall,
    Read,
    Source,
    close,
    name_until,
    one_of,
    some,
    space,
)

DSML = "\uff5cDSML\uff5c"
MINIMAX = ("<minimax:tool_call>", "</minimax:tool_call>")
#: What stands around the calls of DeepSeek, by the words of its template.
V3_2, V4 = "function_calls", "tool_calls"
_NAME = re.compile(r'name\s*=\s*"([^"]*)"|name\s*=\s*([^\s">]+)')
#: DeepSeek has no tokens for its tags, only for the word in them.
CONTROLS = MINIMAX


class Invoke:
    """One block with all calls of an answer."""

    openers: tuple[str, ...]
    leads: tuple[str, ...] = ()

    def __init__(self, tools: Sequence[Tool], *, dsml: str = "") -> None:
        """Begin.

        Args:
            tools: Say of which type each value is.
            dsml: DeepSeek's tag around its calls; empty: it is MiniMax.
        """
        self._tools = tools
        self._is_dsml = bool(dsml)
        self._opener, self._closer = MINIMAX
        if dsml:
            self._opener, self._closer = f"<{DSML}{dsml}>", f"</{DSML}{dsml}>"
        self._tag = DSML if dsml else ""
        self.openers = (self._opener,)

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read the block; tags that end something may be missing."""
        while True:
            yield from space(source)
            if not (yield from one_of(source, (f"<{self._tag}invoke",))):
                break
            yield from self._call(source)
        yield from close(source, (self._closer,))

    def _call(self, source: Source) -> Read[None]:
        """Read one call behind ``<invoke``."""
        members = Members(source, self._tools)
        yield from members.begin((yield from attribute(source)))
        while True:
            yield from space(source)
            if not (yield from one_of(source, (f"<{self._tag}parameter",))):
                break
            key = yield from attribute(source)
            yield from members.member(key, f"</{self._tag}parameter>")
        yield from some(source)  # the end of the answer is not the call's
        yield from members.end()
        yield from close(source, (f"</{self._tag}invoke>",))

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of calls; optional values come in the schema's order."""
        tag = self._tag
        opening = f'"<{tag}parameter name=\\"KEY\\">"'
        if self._is_dsml:
            opening = f'"<{tag}parameter name=\\"KEY\\" string=\\"KIND\\">"'
        bodies, rules = member_rules(tools, opening, f'"</{tag}parameter>\\n"')
        calls = "call+" if several else "call"
        first, last = f"{self._opener}\n", self._closer
        lines = [f"start: {spelled(first, CONTROLS)} {calls} {spelled(last, CONTROLS)}"]
        lines.append("call: " + " | ".join(f"call_{n}" for n in range(len(tools))))
        for n, (tool, body) in enumerate(zip(tools, bodies, strict=True)):
            head = spelled(f'<{tag}invoke name="{tool.name}">\n', ())
            foot = spelled(f"</{tag}invoke>\n", ())
            lines.append(" ".join(filter(None, (f"call_{n}:", head, body, foot))))
        return "\n".join((*lines, *rules))


def attribute(source: Source) -> Read[str]:
    """Read the rest of a tag, and return the name in it.

    Raises:
        NotACall: There is none.
    """
    found = _NAME.search((yield from name_until(source, ">")))
    if found is None:
        raise NotACall
    return found[1] or found[2] or ""

"""Any model whose template takes tools and whose own form is unknown: JSON, bare or in a fence.

An object ``{"name": …, "arguments": …}``, an array of them, or either in a Markdown fence, as the
whole answer or its beginning; also the tags of Hermes, which many models have learned.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import wrapped
from runner.prompt.toolcalls.hermes import Hermes
from runner.prompt.toolcalls.llama3 import back, call_begins
from runner.prompt.toolcalls.parser import (
    Call,
    NotACall,
    Read,
    Source,
    as_call,
    json_value,
    one_of,
    some,
    space,
)

_FENCES = ("```json", "```tool_call", "```")


class Generic:
    """JSON in whatever coat."""

    openers: tuple[str, ...] = Hermes.openers
    leads: tuple[str, ...] = ("{", "[", *_FENCES)

    def read(self, source: Source, opener: str) -> Read[list[Call]]:
        """Read an object or an array of calls."""
        if opener in Hermes.openers:
            return (yield from Hermes().read(source, opener))
        if opener in ("{", "["):
            back(source, opener)
            calls = yield from _calls(source)
            yield from _nothing_more(source)
            return calls
        back(source, opener)  # a longer fence may have been cut
        yield from one_of(source, _FENCES)
        yield from space(source)
        calls = yield from _calls(source)
        yield from space(source)
        if not (yield from one_of(source, ("```",))) and source.text:
            raise NotACall
        return calls

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of one object: several would be a form that few models know."""
        return wrapped("", tools, "", gap=None)


def _calls(source: Source) -> Read[list[Call]]:
    yield from some(source)
    if source.text[0] == "{":
        yield from call_begins(source)
        return [as_call((yield from json_value(source)))]
    yield from call_begins(source, "[")
    value = yield from json_value(source)
    if not isinstance(value, list) or not value:
        raise NotACall
    return [as_call(entry) for entry in value]


def _nothing_more(source: Source) -> Read[None]:
    """Return at the end of the answer; JSON with words after it is an example, not a call."""
    yield from space(source)
    if source.text:
        raise NotACall

"""Any model whose template takes tools and whose own form is unknown: JSON, bare or in a fence.

An object ``{"name": …, "arguments": …}``, an array of them, or either in a Markdown fence, as the
whole answer or its beginning; also the tags of Hermes, which many models have learned.

Bare JSON is told only once all of it has come: with words after it, it is an example, not a call.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import wrapped
from runner.prompt.toolcalls.hermes import Hermes
from runner.prompt.toolcalls.json_calls import Call, as_call, json_value, whole_calls
from runner.prompt.toolcalls.llama3 import call_begins
from runner.prompt.toolcalls.source import (
    NotACall,
    Read,
    Source,
    one_of,
    some,
    space,
)

_FENCES = ("```json", "```tool_call", "```")


class Generic:
    """JSON in whatever coat."""

    openers: tuple[str, ...] = Hermes.openers
    leads: tuple[str, ...] = ("{", "[", *_FENCES)

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read an object or an array of calls."""
        if opener in Hermes.openers:
            yield from Hermes().read(source, opener)
            return
        if opener in ("{", "["):
            source.back(opener)
            calls = yield from _calls(source)
            yield from space(source)
            if source.text:
                raise NotACall
        else:
            source.back(opener)  # a longer fence may have been cut
            calls = yield from fenced(source, _FENCES)
        yield from whole_calls(source, calls)

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of one object: several would be a form that few models know."""
        return wrapped("", tools, "", gap=None)


def fenced(source: Source, fences: Sequence[str]) -> Read[list[Call]]:
    """Read one of ``fences``, calls, and the fence that closes it; the end may stand for that.

    Raises:
        NotACall: Something else comes.
    """
    yield from one_of(source, fences)
    yield from space(source)
    calls = yield from _calls(source)
    yield from space(source)
    if not (yield from one_of(source, ("```",))) and source.text:
        raise NotACall
    return calls


def _calls(source: Source) -> Read[list[Call]]:
    yield from some(source)
    yield from call_begins(source, "[" if source.text[0] == "[" else "")
    value = yield from json_value(source)
    return [as_call(entry) for entry in (value if isinstance(value, list) else [value])]

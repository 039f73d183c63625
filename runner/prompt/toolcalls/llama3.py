"""Llama 3.1 to 3.3: JSON ``{"name": …, "parameters": …}`` as the whole answer, or after a tag.

Several calls come one after the other, with ``;`` or white space between.  Without a tag, an answer
in JSON is a call only if it names a tool that there is: else it is the JSON somebody asked for.

Source: those models' chat templates.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.chat import Tool
from runner.prompt.toolcalls.grammar import wrapped
from runner.prompt.toolcalls.json_calls import call_object
from runner.prompt.toolcalls.source import NotACall, Read, Source, more, one_of, space

TAG = "<|python_tag|>"
CONTROLS = (TAG,)
#: Keys that a call's object may begin with.
_FIRST_KEYS = ("name", "type", "function", "parameters", "arguments", "id")


class Llama3:
    """Bare objects, with or without the tag."""

    openers: tuple[str, ...] = (TAG,)
    leads: tuple[str, ...] = ("{",)

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read one call after the other."""
        if opener == "{":
            source.back(opener)
        is_first = True
        while True:
            yield from space(source)
            if not is_first:
                yield from one_of(source, (";", ","))
                yield from space(source)
                yield from one_of(source, (TAG,))
                yield from space(source)
                if not source.text:
                    return
            yield from call_begins(source)
            yield from call_object(source)
            is_first = False

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of bare objects."""
        return wrapped("", tools, "", gap="; " if several else None, arguments_key="parameters")


def call_begins(source: Source, before: str = "") -> Read[None]:
    """Return if an object follows ``before`` whose first key is one of a call's; nothing is read.

    So an answer in JSON that is no call streams on as text at once.

    Raises:
        NotACall: Something else comes.
    """
    wanted = [f'{before}{{"{key}"' for key in _FIRST_KEYS]
    while True:
        head = "".join(source.text[: 64 * 1024].split())
        if any(head.startswith(word) for word in wanted):
            return
        if not any(word.startswith(head) for word in wanted):
            raise NotACall
        yield from more(source)

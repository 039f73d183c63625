"""What every family reads its calls from: text as it comes, and the words it is made of.

Reading is a generator that yields ``None`` when it needs more text, and a ``Part`` of a call as
soon as that is certain.  So a family's file looks like a parser of whole text, and cannot see where
the stream was split.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, field
from typing import TypeVar

from runner.prompt.marks import overlap, spelt, unmarked

T = TypeVar("T")
#: Longest name of a tool, in characters; longer text is no name.
MAX_NAME = 256


@dataclass(frozen=True, slots=True)
class Named:
    """A call begins: the tool's name."""

    name: str


@dataclass(frozen=True, slots=True)
class Argument:
    """The next piece of the JSON text of a call's arguments."""

    text: str


Part = Named | Argument
#: Yields ``None`` for more text, and parts of calls; its value is what was read.
Read = Generator[Part | None, None, T]


class NotACall(Exception):
    """What came cannot be a call, or not go on as one, whatever follows."""


@dataclass(slots=True)
class Source:
    """Text that has come and was not read; what was read is kept until it is known for a call.

    Attributes:
        names: The tools there are.
        controls: Markers that are control tokens of the model: their characters alone are text.
        text: What has come, with its marks (see ``marks.py``).
        is_ended: No more will come.
        taken: What was read since the last part was told.
    """

    names: frozenset[str] = frozenset()
    controls: frozenset[str] = frozenset()
    text: str = ""
    is_ended: bool = False
    taken: list[str] = field(default_factory=list)

    def take(self, n_chars: int) -> str:
        """Read ``n_chars`` characters, which are there."""
        taken, self.text = self.text[:n_chars], self.text[n_chars:]
        self.taken.append(taken)
        return taken

    def back(self, text: str) -> None:
        """Give back what was read last."""
        assert self.taken[-1] == text
        self.taken.pop()
        self.text = text + self.text

    def spelt(self, word: str) -> str:
        """Return a marker as it stands in ``text``."""
        return spelt(word, self.controls)


def begin(source: Source, name: str) -> Read[None]:
    """Tell that a call of ``name`` begins: what was read until here is no text any more.

    Raises:
        NotACall: No tool has that name.
    """
    if name not in source.names:
        raise NotACall
    source.taken.clear()
    yield Named(name)


def give(source: Source, text: str) -> Read[None]:
    """Tell the next piece of the arguments of the call that has begun."""
    source.taken.clear()
    if text:
        yield Argument(text)


def more(source: Source) -> Read[None]:
    """Wait for text.

    Raises:
        NotACall: There will be none.
    """
    if source.is_ended:
        raise NotACall
    yield None


def some(source: Source) -> Read[None]:
    """Wait until there is text.

    Raises:
        NotACall: There will be none.
    """
    while not source.text:
        yield from more(source)


def space(source: Source) -> Read[None]:
    """Read white space, if there is any; the end may follow."""
    while True:
        source.take(len(source.text) - len(source.text.lstrip()))
        if source.text or source.is_ended:
            return
        yield None


def one_of(source: Source, words: Collection[str]) -> Read[str]:
    """Read the one of ``words`` that comes next, the longest; empty when none does."""
    while True:
        text = source.text
        found = max((w for w in words if text.startswith(source.spelt(w))), key=len, default="")
        longer = (source.spelt(word) for word in words if len(word) > len(found))
        may_grow = any(word.startswith(text) and word != text for word in longer)
        if not may_grow or source.is_ended:
            source.take(len(source.spelt(found)))
            return found
        yield None


def close(source: Source, words: Collection[str]) -> Read[str]:
    """Read white space and the one of ``words`` that ends a call; empty when none does.

    Where the answer ends in the middle of such a word, that is no text either.
    """
    yield from space(source)
    found = yield from one_of(source, words)
    if not found and source.is_ended:
        text = source.text
        if any(source.spelt(word).startswith(text) for word in words):
            source.take(len(text))
    return found


def section(
    source: Source,
    begin: str,
    call: Callable[[Source], Read[None]],
    end: str,
    *,
    is_call: bool,
) -> Read[None]:
    """Read all calls of a section, and the marker that ends it, which may be missing.

    Args:
        source: Behind the section's own marker.
        begin: Stands before each call.
        call: Reads one, once that has been read.
        end: Ends the section.
        is_call: The answer left the section's marker out: the first call's has been read already.
    """
    if is_call:
        yield from call(source)
    while True:
        yield from space(source)
        if not (yield from one_of(source, (begin,))):
            break
        yield from call(source)
    yield from close(source, (end,))


def expect(source: Source, word: str) -> Read[None]:
    """Read ``word``.

    Raises:
        NotACall: Something else comes.
    """
    if not (yield from one_of(source, (word,))):
        raise NotACall


def until(source: Source, marker: str, *, n_most: int | None = None) -> Read[str]:
    """Read up to ``marker`` and past it; return what stood before.

    Raises:
        NotACall: It never comes, or only after more than ``n_most`` characters.
    """
    marker = source.spelt(marker)
    parts: list[str] = []
    n_read = 0
    while True:
        at = source.text.find(marker)
        n_sure = len(source.text) - overlap(source.text, marker) if at < 0 else at
        n_read += n_sure
        if n_most is not None and n_read > n_most:
            raise NotACall
        parts.append(source.take(n_sure))
        if at >= 0:
            source.take(len(marker))
            return unmarked("".join(parts))
        yield from more(source)


def name_until(source: Source, marker: str) -> Read[str]:
    """Read a name up to ``marker`` and past it; white space around it is not part of it.

    Raises:
        NotACall: What comes is no name.
    """
    return (yield from until(source, marker, n_most=MAX_NAME)).strip()

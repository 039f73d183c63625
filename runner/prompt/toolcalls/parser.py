"""Tool calls found in a stream of text: what all families share.

A family says in a ``Syntax`` which markers begin its calls, and reads what follows as a generator
that yields whenever it needs more text.  So a family's file looks like a parser of whole text, and
cannot see where the stream was split.

A call is certain when all of it has come and is valid: then its name goes out, then its arguments.
What begins like a call and is none (broken JSON, a name that no tool has, the end of the answer in
the middle) comes out as the text it was, unchanged, and does not count as a call.  White space that
touches a call is the call's, not the answer's.

Pure; thoughts are split off before (``prompt/thinking.py``).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from runner.domain.chat import Tool
from runner.domain.event import TextDelta, ThinkingDelta, ToolCallDelta
from runner.prompt.marks import overlap

T = TypeVar("T")
#: Yields when it needs more text; its value is what was read.
Read = Generator[None, None, T]

#: What a parser brings; ``Finished`` is for who knows how the answer ended.
Piece = TextDelta | ThinkingDelta | ToolCallDelta


class NotACall(Exception):
    """What came cannot be a call, whatever follows."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call, whole."""

    name: str
    arguments: dict[str, Any]


class AnswerParser(Protocol):
    """Text of one answer in, pieces of it out; one for each answer."""

    def feed(self, text: str) -> list[Piece]:
        """Return what is certain now, in order."""
        ...

    def end(self) -> list[Piece]:
        """Return what was held back; called once, after the last text."""
        ...


class Syntax(Protocol):
    """How one family writes calls.

    Attributes:
        openers: Markers that begin calls, wherever they stand.
        leads: Texts that begin calls where they open the answer.
    """

    openers: tuple[str, ...]
    leads: tuple[str, ...]

    def read(self, source: Source, opener: str) -> Read[list[Call]]:
        """Read the calls that ``opener`` begins; it has been taken already.

        Raises:
            NotACall: They are none.
        """
        ...

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return a Lark grammar, as llguidance reads it, of one call of ``tools``.

        ``several``: of one call or more.
        """
        ...


@dataclass(slots=True)
class Source:
    """Text that has come and not been read; what was read is kept until it is known for a call."""

    text: str = ""
    is_ended: bool = False
    taken: list[str] = field(default_factory=list)

    def take(self, n_chars: int) -> str:
        """Read ``n_chars`` characters, which are there."""
        taken, self.text = self.text[:n_chars], self.text[n_chars:]
        self.taken.append(taken)
        return taken


def more(source: Source) -> Read[None]:
    """Wait for text.

    Raises:
        NotACall: There will be none.
    """
    if source.is_ended:
        raise NotACall
    yield


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
        yield


def one_of(source: Source, words: Collection[str]) -> Read[str]:
    """Read the one of ``words`` that comes next, the longest; empty when none does."""
    while True:
        found = max((word for word in words if source.text.startswith(word)), key=len, default="")
        may_grow = any(
            word.startswith(source.text) and word != source.text
            for word in words
            if len(word) > len(found)
        )
        if not may_grow or source.is_ended:
            source.take(len(found))
            return found
        yield


def expect(source: Source, word: str) -> Read[None]:
    """Read ``word``.

    Raises:
        NotACall: Something else comes.
    """
    if not (yield from one_of(source, (word,))):
        raise NotACall


def until(source: Source, marker: str) -> Read[str]:
    """Read up to ``marker`` and past it; return what stood before.

    Raises:
        NotACall: It never comes.
    """
    parts: list[str] = []
    while (at := source.text.find(marker)) < 0:
        parts.append(source.take(len(source.text) - overlap(source.text, marker)))
        yield from more(source)
    parts.append(source.take(at))
    source.take(len(marker))
    return "".join(parts)


def json_value(source: Source) -> Read[Any]:
    """Read a JSON object or array.

    Raises:
        NotACall: Something else comes, or it is not valid.
    """
    yield from some(source)
    if source.text[0] not in "{[":
        raise NotACall
    parts: list[str] = []
    depth, in_string, is_escaped = 0, False, False
    while True:
        for at, char in enumerate(source.text):
            if in_string:
                in_string = is_escaped or char != '"'
                is_escaped = char == "\\" and not is_escaped
            elif char == '"':
                in_string = True
            elif char in "{[":
                depth += 1
            elif char in "}]":
                depth -= 1
                if not depth:
                    parts.append(source.take(at + 1))
                    return _decoded("".join(parts))
        parts.append(source.take(len(source.text)))
        yield from more(source)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise NotACall from None


def _refuse_constant(word: str) -> None:
    raise ValueError(word)  # NaN and Infinity are not JSON


def as_call(value: Any) -> Call:
    """Return the call that a JSON object with a name and arguments is.

    Families say ``arguments`` or ``parameters``, some wrap both in ``function``; arguments may be
    an object or, as in OpenAI's API, JSON text of one.

    Raises:
        NotACall: It is none.
    """
    if not isinstance(value, dict):
        raise NotACall
    inner = value.get("function")
    if isinstance(inner, dict):
        value = inner
    name = value.get("name", inner if isinstance(inner, str) else None)
    given = (value[key] for key in ("arguments", "parameters", "args", "input") if key in value)
    arguments = next(given, None)
    if isinstance(arguments, str):
        arguments = _decoded(arguments) if arguments.strip() else {}
    if arguments is None:
        arguments = {}
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        raise NotACall
    return Call(name, arguments)


def new_call_id() -> str:
    """Return an id that no other call has; letters and digits after ``call_``, as OpenAI's."""
    return f"call_{secrets.token_hex(12)}"


class CallParser:
    """Finds the calls of one family in the text of one answer."""

    def __init__(
        self,
        syntax: Syntax,
        names: Collection[str],
        *,
        max_calls: int | None = None,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        """Begin.

        Args:
            syntax: The family's.
            names: The tools there are; a call of another is no call.
            max_calls: Calls after so many are dropped; ``None``: none are.
            new_id: Makes the calls' ids.
        """
        self._syntax = syntax
        self._names = frozenset(names)
        self._max_calls = max_calls
        self._new_id = new_id
        self._source = Source()
        self._reading: Read[list[Call]] | None = None
        self._n_calls = 0
        self._is_fresh = True  # nothing but white space has come

    def feed(self, text: str) -> list[Piece]:
        """Return what is certain now, in order."""
        self._source.text += text
        found: list[Piece] = []
        while self._advance(found):
            pass
        return found

    def end(self) -> list[Piece]:
        """Return what was held back; a call that is not whole is text."""
        self._source.is_ended = True
        found = self.feed("")
        rest = self._source.text
        if rest and not (self._n_calls and not rest.strip()):
            found.append(TextDelta(rest))
        self._source.text = ""
        return found

    def _advance(self, found: list[Piece]) -> bool:
        """Take one step; return whether another one may be possible."""
        if self._reading is None:
            return self._look(found)
        try:
            next(self._reading)
            return False
        except StopIteration as done:
            calls: list[Call] = done.value
        except NotACall:
            calls = []
        self._reading = None
        raw = "".join(self._source.taken)
        self._source.taken.clear()
        if calls and all(call.name in self._names for call in calls):
            found.extend(piece for call in calls for piece in self._pieces(call))
        else:
            self._say(raw, found)
        return bool(self._source.text)

    def _look(self, found: list[Piece]) -> bool:
        """Look for the beginning of a call; give out the text before it."""
        source = self._source
        text = source.text
        body = text.lstrip()
        if self._is_fresh and body:
            lead = next((lead for lead in self._syntax.leads if body.startswith(lead)), "")
            if lead:
                source.text = body
                return self._begin(lead, text[: len(text) - len(body)])
            if any(lead.startswith(body) for lead in self._syntax.leads) and not source.is_ended:
                return False
        places = [(at, word) for word in self._syntax.openers if (at := text.find(word)) >= 0]
        if places:
            at, opener = min(places, key=lambda place: (place[0], -len(place[1])))
            before = text[:at]
            gap = before[len(before.rstrip()) :]
            self._say(before[: len(before) - len(gap)], found)
            source.text = text[at:]
            return self._begin(opener, gap)
        # White space at the end waits too: it is dropped if a call follows.
        held = max((overlap(text, word) for word in self._syntax.openers), default=0)
        sure = text[: len(text) - held].rstrip()
        self._say(sure, found)
        source.text = text[len(sure) :]
        return False

    def _begin(self, opener: str, gap: str) -> bool:
        """Start to read a call after ``gap``, the white space before it."""
        self._source.taken = [gap]
        self._is_fresh = False
        self._source.take(len(opener))
        self._reading = self._syntax.read(self._source, opener)
        return True

    def _say(self, text: str, found: list[Piece]) -> None:
        if text:
            self._is_fresh = False
            found.append(TextDelta(text))

    def _pieces(self, call: Call) -> list[Piece]:
        index = self._n_calls
        if index == self._max_calls:
            return []
        self._n_calls += 1
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        return [
            ToolCallDelta(index, name=call.name, id=self._new_id()),
            ToolCallDelta(index, arguments=arguments),
        ]

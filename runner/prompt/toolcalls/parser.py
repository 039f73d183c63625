"""Tool calls found in a stream of text: what all families share.

A family says in a ``Syntax`` which markers begin its calls, and reads what follows as a generator
(``source.py``).

A call begins when its tool's name is there and its arguments begin as they must: then the name goes
out, then the arguments as they come.  What begins like a call and is none (a name that no tool has,
something else than arguments, the end of the answer before them) comes out as the text it was,
unchanged, and does not count as a call.  A call that the end of the answer cuts stays cut: its
arguments are no whole JSON then.  White space that touches a call is the call's, not the answer's.

Pure; thoughts are split off before (``prompt/thinking.py``).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from runner.domain.chat import Tool
from runner.domain.event import TextDelta, ThinkingDelta, ToolCallDelta
from runner.prompt.marks import overlap
from runner.prompt.toolcalls.source import Named, NotACall, Part, Read, Source

#: What a parser brings; ``Finished`` is for who knows how the answer ended.
Piece = TextDelta | ThinkingDelta | ToolCallDelta


class AnswerParser(Protocol):
    """Text of one answer in, pieces of it out; one for each answer.

    Text comes with its marks (``marks.py``) and goes out without.
    """

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

    @property
    def openers(self) -> tuple[str, ...]: ...

    @property
    def leads(self) -> tuple[str, ...]: ...

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read, and tell, the calls that ``opener`` begins; it has been taken already.

        Raises:
            NotACall: They are none, or go no further; what was not told is text.
        """
        ...

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return a Lark grammar, as llguidance reads it, of one call of ``tools``.

        ``several``: of one call or more.
        """
        ...


def new_call_id() -> str:
    """Return an id that no other call has; letters and digits after ``call_``, as OpenAI's."""
    return f"call_{secrets.token_hex(12)}"


class CallParser:
    """Finds the calls of one family in the text of one answer; marks stay in its text."""

    def __init__(
        self,
        syntax: Syntax,
        names: Collection[str],
        *,
        max_calls: int | None = None,
        controls: Collection[str] = (),
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        """Begin.

        Args:
            syntax: The family's.
            names: The tools there are; a call of another is no call.
            max_calls: Calls after so many are dropped; ``None``: none are.
            controls: Markers that are control tokens of the model.
            new_id: Makes the calls' ids.
        """
        self._syntax = syntax
        self._max_calls = max_calls
        self._new_id = new_id
        self._source = Source(frozenset(names), frozenset(controls))
        self._openers = {self._source.spelt(opener): opener for opener in syntax.openers}
        self._reading: Read[None] | None = None
        self._n_calls = 0  # those dropped, too
        self._n_before = 0  # when the reading began
        self._is_fresh = True  # nothing but white space has come

    def feed(self, text: str) -> list[Piece]:
        """Return what is certain now, in order."""
        self._source.text += text
        found: list[Piece] = []
        while self._advance(found):
            pass
        return found

    def end(self) -> list[Piece]:
        """Return what was held back; what might have become a call is text."""
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
        source = self._source
        try:
            part = next(self._reading)
        except StopIteration:
            is_text = self._n_calls == self._n_before
        except NotACall:
            is_text = True
            if source.is_ended and self._n_calls > self._n_before:
                source.taken.clear()  # the end came in the middle of a call
                source.text = ""
        else:
            if part is not None:
                self._tell(part, found)
            return part is not None
        self._reading = None
        raw = "".join(source.taken)
        source.taken.clear()
        if is_text:
            self._say(raw, found)
        return bool(source.text)

    def _look(self, found: list[Piece]) -> bool:
        """Look for the beginning of a call; give out the text before it."""
        source = self._source
        text = source.text
        body = text.lstrip()
        if self._is_fresh and body:
            lead = next((lead for lead in self._syntax.leads if body.startswith(lead)), "")
            if lead:
                source.text = body
                return self._begin(lead, lead, text[: len(text) - len(body)])
            if any(lead.startswith(body) for lead in self._syntax.leads) and not source.is_ended:
                return False
        places = [(at, word) for word in self._openers if (at := text.find(word)) >= 0]
        if places:
            at, spelt = min(places, key=lambda place: (place[0], -len(place[1])))
            before = text[:at]
            gap = before[len(before.rstrip()) :]
            self._say(before[: len(before) - len(gap)], found)
            source.text = text[at:]
            return self._begin(self._openers[spelt], spelt, gap)
        # White space at the end waits too: it is dropped if a call follows.
        held = max((overlap(text, word) for word in self._openers), default=0)
        sure = text[: len(text) - held].rstrip()
        self._say(sure, found)
        source.text = text[len(sure) :]
        return False

    def _begin(self, opener: str, spelt: str, gap: str) -> bool:
        """Start to read a call after ``gap``, the white space before it."""
        self._source.taken = [gap]
        self._is_fresh = False
        self._source.take(len(spelt))
        self._n_before = self._n_calls
        self._reading = self._syntax.read(self._source, opener)
        return True

    def _say(self, text: str, found: list[Piece]) -> None:
        if text:
            self._is_fresh = False
            found.append(TextDelta(text))

    def _tell(self, part: Part, found: list[Piece]) -> None:
        """Tell a part of a call, unless there have been enough of them."""
        self._n_calls += isinstance(part, Named)
        index = self._n_calls - 1
        if self._max_calls is not None and index >= self._max_calls:
            return
        if isinstance(part, Named):
            found.append(ToolCallDelta(index, name=part.name, id=self._new_id()))
        else:
            found.append(ToolCallDelta(index, arguments=part.text))

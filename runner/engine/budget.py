"""How much a model thinks: its thoughts are counted, and ended when they have had their share.

The engine owns the next token, so thoughts that reach their bound are ended as the model would end
them, by the tokens of its family's closing marker, and the answer goes on from there.  A token that
would leave half a character is let come whole first; a marker that the model has begun by itself is
finished, not repeated.  Pure: ids in, the id that must come next out.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable, Sequence as Seq
from enum import Enum, auto

from runner.domain.request import ThoughtBound
from runner.engine.after import Marker
from runner.engine.backend import Vocabulary
from runner.engine.limits import Limits
from runner.protocol.messages import Generate


class _Phase(Enum):
    BEFORE = auto()  # nothing but white space, or a part of the opening marker, has come
    THINKING = auto()
    OVER = auto()


class Budget:
    """Follows one answer and says which token must come, if one must.

    Attributes:
        n_thought: Tokens of thoughts so far, without those that are nothing but a marker; a
            marker that is only begun may be among them.
        is_bound: Whether thoughts have a bound; else they are counted only.
    """

    def __init__(
        self,
        n_most: int | None,
        *,
        opening: Marker,
        close: Marker,
        ending: Callable[[int], Seq[int]],
        spelling: Callable[[int], bytes],
        is_open: bool,
        returns: bool = False,
    ) -> None:
        """Begin an answer.

        Args:
            n_most: Tokens that may be thought; 0: thoughts end as soon as they begin; ``None``: as
                many as they like.
            opening: What begins thoughts; right after they ended, it begins more.
            close: What ends them.
            ending: The tokens that end them, where so many bytes of ``close`` have come already.
            spelling: The bytes of a token, of a control token those of its name.
            is_open: Whether the prompt has begun them.
            returns: Whether the tokens of ``opening`` begin them wherever they stand.
        """
        self.n_thought = 0
        self.is_bound = n_most is not None
        self._n_most = n_most
        self._close = close
        self._ending = ending
        self._spelling = spelling
        self._must: deque[int] = deque()
        self._opening = opening
        self._returns = returns and bool(opening.tokens)
        self._begun: tuple[int, ...] = ()  # tokens of the opening marker
        self._tail = b""
        self._sizes: deque[int] = deque(maxlen=len(close.text))  # in bytes, of the last thoughts
        self._tokens: tuple[int, ...] = ()
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._phase = _Phase.BEFORE
        if is_open:
            self._think()

    @property
    def must(self) -> int | None:
        """The only token that may come next; ``None``: it is not ours to say."""
        return self._must[0] if self._must else None

    def take(self, token: int) -> None:
        """Go on after ``token``."""
        if self._must:
            if self._must.popleft() != token:
                self._must.clear()  # a form knew what comes: it ends the thoughts by itself
        elif self._phase is _Phase.BEFORE:
            self._open(token)
        elif self._phase is _Phase.THINKING:
            self._count(token)

    def _open(self, token: int) -> None:
        """Look for the opening marker: what begins otherwise is the answer."""
        wanted = self._opening.tokens
        if self._returns:
            self._begun = (*self._begun, token)[-len(wanted) :]
            if self._begun == wanted:
                self._think()
            return
        spelt = self._spelling(token)
        if wanted:
            self._begun = (*self._begun, token)
            is_part = self._begun == wanted[: len(self._begun)]
            if is_part and len(self._begun) == len(wanted):
                self._think()
            elif not is_part:
                is_space = len(self._begun) == 1 and not spelt.strip()
                self._phase = _Phase.BEFORE if is_space else _Phase.OVER
                self._begun = ()
            return
        self._tail = (self._tail + spelt).lstrip()
        if self._tail.startswith(self._opening.text):
            self._think()
        elif not self._opening.text.startswith(self._tail):
            self._phase = _Phase.OVER

    def _think(self) -> None:
        self._phase = _Phase.THINKING
        self._tail, self._tokens = b"", ()
        self._sizes.clear()
        if self._n_most is not None and self.n_thought >= self._n_most:
            self._end()

    def _count(self, token: int) -> None:
        spelt = self._spelling(token)
        if self._has_closed(token, spelt):
            self._phase = _Phase.BEFORE
            self._tail, self._begun = b"", ()
            return
        self.n_thought += 1
        self._sizes.append(len(spelt))
        if self._n_most is None:
            return
        self._characters.decode(spelt)
        is_whole = not self._characters.getstate()[0]
        if self.n_thought >= self._n_most and is_whole:
            self._end()

    def _has_closed(self, token: int, spelt: bytes) -> bool:
        if wanted := self._close.tokens:
            self._tokens = (*self._tokens, token)[-len(wanted) :]
            is_closed = self._tokens == wanted
            self.n_thought -= (len(wanted) - 1) * is_closed
            return is_closed
        text = self._tail + spelt
        begin = text.find(self._close.text)
        if begin >= 0:
            self._uncount(len(self._tail) - begin)
        self._tail = text[-len(self._close.text) :]
        return begin >= 0

    def _uncount(self, n_bytes: int) -> None:
        """The last bytes are a marker's: what lies in them was no thought."""
        while self._sizes and 0 < self._sizes[-1] <= n_bytes:
            n_bytes -= self._sizes.pop()
            self.n_thought -= 1

    def _end(self) -> None:
        close, n_begun = self._close.text, 0
        if not self._close.tokens:
            ends = (n for n in range(len(close) - 1, 0, -1) if self._tail.endswith(close[:n]))
            n_begun = next(ends, 0)
            self._uncount(n_begun)
        self._must.extend(self._ending(n_begun))
        self._phase = _Phase.BEFORE
        self._tail, self._begun = b"", ()


def budget_of(
    request: Generate, vocabulary: Vocabulary, limits: Limits, *, n_prompt: int, tail: str
) -> Budget | None:
    """Return what counts the thoughts of an answer, and bounds them; ``None``: it has none.

    Args:
        request: What was asked for, its constraint settled.
        vocabulary: The model's.
        limits: Of the sequence.
        n_prompt: Tokens of its prompt.
        tail: The end of the rendered prompt: it may have begun the thoughts.
    """
    bound, form = request.thoughts, request.constraint
    if bound is None:
        return None
    # A form that holds from the first token on leaves no thoughts to bound.
    is_bound = bound.is_bound and (form is None or bool(form.after))
    room = limits.n_limit - n_prompt if limits.n_keep is None else limits.n_draw_max
    text = bound.ending.encode()

    def ending(n_begun: int) -> list[int]:
        return vocabulary.tokenize(text[n_begun:].decode(), parse_special=True)

    return Budget(
        n_most_of(bound, room) if is_bound else None,
        opening=_marker(bound.open, vocabulary),
        close=_marker(bound.close, vocabulary),
        ending=ending,
        spelling=vocabulary.spelling,
        is_open=tail.rstrip().endswith(bound.open),
        returns=bound.returns,
    )


def n_most_of(bound: ThoughtBound, room: int) -> int:
    """Return how many tokens may be thought of the ``room`` that an answer may have in all."""
    shared = max(1, int(bound.share * room))
    return shared if bound.n_most is None else min(bound.n_most, shared)


def _marker(text: str, vocabulary: Vocabulary) -> Marker:
    """A marker of control tokens is those alone; another one is its characters."""
    tokens = tuple(vocabulary.tokenize(text, parse_special=True))
    is_own = any(vocabulary.spelling(t) and not vocabulary.piece(t) for t in tokens)
    return Marker(text.encode(), tokens if is_own or len(tokens) == 1 else ())

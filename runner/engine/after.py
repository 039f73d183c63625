"""A constraint that begins when the model has thought: what may come until then.

A marker is matched by its tokens where the model has a control token for it, so that the same
characters as plain text are thoughts like any other; else by its characters.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from runner.engine.pieces import Completions, PieceIndex, Tokens
from runner.engine.rules import Mask, Matcher


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker, and the tokens that alone are it; without those, its characters are."""

    text: bytes
    tokens: tuple[int, ...] = ()


class _Phase(Enum):
    START = auto()  # nothing has come: thoughts may, or what is constrained
    OPENING = auto()  # a part of the opening marker has come
    THINKING = auto()
    BEGUN = auto()


class After:
    """A constraint that begins when a marker was written; the answer cannot end before.

    Until then everything may come but the end and, where the marker is matched by its characters,
    tokens that hold it and more than white space after it: where the constrained part begins, a
    token begins.

    With an opening marker, it begins at once unless that comes first, without white space before
    it: a model that does not think may begin with that, too.  Where a token could be both, it is
    the constraint's.
    """

    def __init__(
        self,
        matcher: Matcher,
        close: Marker,
        index: PieceIndex,
        *,
        n_vocab: int,
        ends: Tokens,
        opening: Marker | None = None,
    ) -> None:
        self._matcher = matcher
        self._close = _Closing(close, index)
        self._opening = None if opening is None else _Opening(opening, index)
        self._n_vocab = n_vocab
        self._ends = ends
        self._phase = _Phase.START if opening else _Phase.THINKING

    @property
    def is_costly(self) -> bool:
        """As the constraint, once it has begun."""
        return self._phase is _Phase.BEGUN and self._matcher.is_costly

    @property
    def is_complete(self) -> bool:
        """Whether nothing can follow."""
        return self._phase is _Phase.BEGUN and self._matcher.is_complete

    def allows(self, token: int) -> bool:
        """Return whether ``token`` may come next."""
        if self._phase is _Phase.BEGUN:
            return self._matcher.allows(token)
        return bool(self.mask()[token])

    def mask(self) -> Mask:
        """Return what may come next."""
        match self._phase:
            case _Phase.BEGUN:
                return self._matcher.mask()
            case _Phase.THINKING:
                mask = np.ones(self._n_vocab, np.bool_)
                mask[self._ends] = False
                mask[self._close.beyond()] = False
                return mask
            case _Phase.START:
                mask = self._matcher.mask().copy()
            case _:
                mask = np.zeros(self._n_vocab, np.bool_)
        assert self._opening is not None
        mask[self._opening.next()] = True
        return mask

    def accept(self, token: int) -> None:
        """Go on after ``token``."""
        if self._phase is _Phase.START:
            is_its = self._matcher.allows(token)
            self._phase = _Phase.BEGUN if is_its else _Phase.OPENING
        match self._phase:
            case _Phase.BEGUN:
                self._matcher.accept(token)
            case _Phase.THINKING:
                if self._close.take(token):
                    self._phase = _Phase.BEGUN
            case _:
                assert self._opening is not None
                if self._opening.take(token):
                    self._phase = _Phase.THINKING

    def forced(self) -> Seq[int]:
        """Return tokens that can only come next; go on after them."""
        return self._matcher.forced() if self._phase is _Phase.BEGUN else ()

    def close(self) -> None:
        """Free the constraint."""
        self._matcher.close()


class _Opening:
    """The way through an opening marker."""

    def __init__(self, marker: Marker, index: PieceIndex) -> None:
        self._tokens = list(marker.tokens)
        self._text = b"" if marker.tokens else marker.text
        self._index = index

    def next(self) -> list[int]:
        """Return the tokens that go on with it; one may hold the first thoughts, too."""
        if self._tokens:
            return self._tokens[:1]
        parts = (self._text[:n] for n in range(1, len(self._text)))
        found = [token for part in parts for token in self._index.spelt(part)]
        return found + self._index.beginning_with(self._text)

    def take(self, token: int) -> bool:
        """Go on after ``token``; return whether the marker is whole."""
        if self._tokens:
            del self._tokens[0]
            return not self._tokens
        self._text = self._text[len(self._index.piece(token)) :]
        return not self._text


class _Closing:
    """Looks for the marker after the thoughts."""

    def __init__(self, marker: Marker, index: PieceIndex) -> None:
        self._marker = marker
        self._index = index
        self._across: Completions | None = None
        if not marker.tokens:
            self._across = Completions(index, [marker.text], lambda rest: bool(rest.strip()))
        self._tail = b""
        self._tokens: list[int] = []

    def beyond(self) -> Tokens | list[int]:
        """Return the tokens that would end the thoughts and already say something else."""
        return self._across.now() if self._across else []

    def take(self, token: int) -> bool:
        """Go on after ``token``; return whether the marker is whole."""
        if self._across is None:
            self._tokens = [*self._tokens, token][-len(self._marker.tokens) :]
            return tuple(self._tokens) == self._marker.tokens
        self._across.take(token)
        text = self._tail + self._index.piece(token)
        self._tail = text[-len(self._marker.text) :]
        return self._marker.text in text

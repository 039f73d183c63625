"""Strings that must not appear: which tokens would complete one, known beforehand.

A token completes a string when its bytes contain it, or when the text before it ends with the
string's beginning and the token begins with the rest.  Both are looked up, so the token that
would complete it is not among those to choose from: exact, with nothing to take back.

Pure: bytes in, token ids out.  One index serves all requests of a model.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence as Seq

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.intp]


class PieceIndex:
    """The bytes of all tokens, sorted, to be asked what begins with or contains some bytes."""

    def __init__(self, pieces: Seq[bytes]) -> None:
        self._pieces = pieces
        self._order = sorted(range(len(pieces)), key=pieces.__getitem__)
        self._sorted = [pieces[token] for token in self._order]

    def beginning_with(self, start: bytes) -> list[int]:
        """Return the tokens whose bytes begin with ``start``, which is not empty."""
        first = bisect_left(self._sorted, start)
        last = first
        while last < len(self._sorted) and self._sorted[last].startswith(start):
            last += 1
        return self._order[first:last]

    def spelt(self, piece: bytes) -> list[int]:
        """Return the tokens whose bytes are ``piece``."""
        first = last = bisect_left(self._sorted, piece)
        while last < len(self._sorted) and self._sorted[last] == piece:
            last += 1
        return self._order[first:last]

    def containing(self, part: bytes) -> list[int]:
        """Return the tokens whose bytes contain ``part``."""
        return [token for token, piece in enumerate(self._pieces) if part in piece]

    def piece(self, token: int) -> bytes:
        """Return the bytes of ``token``."""
        return self._pieces[token]


class Completions:
    """Follows a text and tells which tokens would now complete one of some strings.

    Args:
        index: The model's tokens.
        texts: The strings, none of them empty.
        is_wanted: Told the bytes that would follow the string in the same token; whether such a
            token counts.
    """

    def __init__(
        self,
        index: PieceIndex,
        texts: Iterable[bytes],
        is_wanted: Callable[[bytes], bool] = lambda _rest: True,
    ) -> None:
        self._index = index
        always: set[int] = set()
        after: dict[bytes, set[int]] = {}
        for text in texts:
            for token in index.containing(text):
                rest = index.piece(token).partition(text)[2]
                if is_wanted(rest):
                    always.add(token)
            for cut in range(1, len(text)):
                found = index.beginning_with(text[cut:])
                rests = ((token, index.piece(token)[len(text) - cut :]) for token in found)
                after.setdefault(text[:cut], set()).update(
                    t for t, rest in rests if is_wanted(rest)
                )
        self.always = np.array(sorted(always), np.intp)
        self._after = {
            start: np.array(sorted(tokens), np.intp) for start, tokens in after.items() if tokens
        }
        self._lengths = sorted({len(start) for start in self._after})
        self._n_tail = max(self._lengths, default=0)
        self._tail = b""

    def now(self) -> Tokens:
        """Return the tokens that would complete a string if one of them came next."""
        found = [self.always]
        for n in self._lengths:
            if n > len(self._tail):
                break
            if (tokens := self._after.get(self._tail[-n:])) is not None:
                found.append(tokens)
        return np.concatenate(found) if len(found) > 1 else self.always

    def take(self, token: int) -> None:
        """Go on after ``token``."""
        if self._n_tail:
            self._tail = (self._tail + self._index.piece(token))[-self._n_tail :]

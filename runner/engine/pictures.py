"""Pictures among a prompt's tokens: their places, and how positions go on after them.  Pure.

To the model a picture is a run of vectors, which its projector makes of the file.  Among the tokens
it is a run of stand-ins: negative numbers, so no token of any vocabulary, made of the file's
digest.  So whatever compares tokens, compares pictures, and a picture that was computed once is
found again where a prompt begins alike.

A picture is computed as a whole, and no other may begin with a part of it.  For models that turn
positions in space (M-RoPE) it takes fewer positions than cells, so those of what follows differ
from their index.  What decodes the files is ``llama/vision.py``.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Sequence as Seq
from dataclasses import dataclass, replace

_LEAST = -(1 << 31)  # of a 32-bit token


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A run of stand-ins.

    Attributes:
        start: Index of the first one among the prompt's tokens.
        n: How many: cells it takes.
        n_positions: Positions it takes.
        handle: What the backend knows it by; frees what it holds when nobody has it any more.
    """

    start: int
    n: int
    n_positions: int
    handle: object

    @property
    def end(self) -> int:
        """Index of the first token after it."""
        return self.start + self.n


@dataclass(frozen=True, slots=True)
class Seen:
    """What an image file is to the model: its tokens, and the pictures that they stand for.

    Some models look at large images in several pictures, with tokens of their own between them.
    """

    tokens: tuple[int, ...]
    pictures: tuple[Picture, ...]

    def placed(self, start: int) -> list[Picture]:
        """Return its pictures when its first token is number ``start`` of a prompt."""
        return moved(self.pictures, start)


def stand_ins(digest: bytes, number: int, n: int) -> tuple[int, ...]:
    """Return ``n`` tokens for picture ``number`` of the file with this digest; all are negative."""
    name = digest + number.to_bytes(4, "little") + n.to_bytes(4, "little")
    drawn = array("i", hashlib.shake_256(name).digest(4 * n))
    return tuple(value if value < 0 else value + _LEAST for value in drawn)


def moved(pictures: Iterable[Picture], n: int) -> list[Picture]:
    """Return ``pictures`` with ``n`` more tokens before them."""
    return [replace(picture, start=picture.start + n) for picture in pictures]


def only_tokens(tokens: Iterable[int]) -> list[int]:
    """Return ``tokens`` without stand-ins."""
    return [token for token in tokens if token >= 0]


def position(pictures: Iterable[Picture], index: int) -> int:
    """Return the position of token ``index``, which may begin a picture but is inside none."""
    return index + sum(each.n_positions - each.n for each in pictures if each.end <= index)


def whole(pictures: Iterable[Picture], n: int) -> int:
    """Return the most of the first ``n`` tokens that end inside no picture."""
    for picture in pictures:
        if picture.start < n < picture.end:
            return picture.start
    return n


def next_of(pictures: Seq[Picture], index: int) -> Picture | None:
    """Return the first of ``pictures``, in their order, that begins at ``index`` or after it."""
    for picture in pictures:
        if picture.start >= index:
            return picture
    return None

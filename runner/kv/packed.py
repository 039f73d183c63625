"""Tokens as bytes, four each, so that two texts are compared by the C library.  Pure."""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Iterable

_INT32 = 4
#: Tokens by whose hash texts that begin alike are found.
N_BLOCK = 64


def pack(tokens: Iterable[int]) -> bytes:
    """Return ``tokens`` as little-endian 32-bit integers, as ``llama_token`` is."""
    numbers = array("i", tokens)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def unpack(packed: bytes) -> list[int]:
    """Return the tokens that ``pack`` packed."""
    numbers = array("i", packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def n_tokens(packed: bytes) -> int:
    """Return how many tokens ``packed`` holds."""
    return len(packed) // _INT32


def n_common(a: bytes, b: bytes) -> int:
    """Return how many tokens two packed texts have in common from their beginning.

    The difference is found by halving, so a comparison costs about two passes of ``memcmp``.
    """
    n_most = min(len(a), len(b))
    if a[:n_most] == b[:n_most]:
        return n_most // _INT32
    low, high = 0, n_most  # equal below low, different below high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low // _INT32


def block_name(packed: bytes) -> str:
    """Return a name for how a text begins, or an empty one for a text shorter than a block."""
    if n_tokens(packed) < N_BLOCK:
        return ""
    return hashlib.blake2b(packed[: N_BLOCK * _INT32], digest_size=8).hexdigest()


def text_name(packed: bytes) -> str:
    """Return a name for a whole text."""
    return hashlib.blake2b(packed, digest_size=16).hexdigest()

"""How much context a model gets: as asked, as trained, as memory allows.  Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Without being asked, a context takes at most this share of the memory that is free ...
_CONTEXT_SHARE = 4
#: ... and is never below or above these sizes, in tokens.
LEAST, _MOST = 4096, 32768
#: The cache all sequences share may be larger than one context, within this share of memory.
_POOL_SHARE = 64
_MOST_CONTEXTS = 4
#: Steps of a context that is cut to what fits, in tokens: free memory is never the same twice.
_STEP = 1024


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tokens: context of one sequence, cells of the whole cache, and the least that would do."""

    n_ctx: int
    n_cells: int
    n_least: int


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes: main memory of the machine, what is free now, and what a cache may take at most."""

    n_memory: int
    n_free: int
    n_cache: int


def choose_sizes(cost: Callable[[int], int], room: Room, *, asked: int, n_ctx_max: int) -> Sizes:
    """Return the sizes for a model that is to be loaded.

    Args:
        cost: Bytes that a cache of so many cells takes; never falls.
        room: What there is.
        asked: Context wanted, in tokens; 0: choose one.  One beyond the room is cut to it.
        n_ctx_max: The longest that makes sense for the model; 0: unknown.
    """
    n_cap = n_ctx_max or LEAST
    n_fits = max(LEAST, _most(cost, room.n_cache))
    n_ctx = min(asked or _default(cost, room), n_cap, n_fits)
    n_pool = min(
        _most(cost, min(room.n_memory // _POOL_SHARE, room.n_cache)), n_ctx * _MOST_CONTEXTS
    )
    return Sizes(n_ctx, max(n_ctx, n_pool), n_ctx if asked else min(LEAST, n_cap))


def grown(n_prompt: int, n_ctx_max: int) -> int:
    """Return a context for a prompt of ``n_prompt`` tokens and an answer; 0: none can be."""
    n_ctx = LEAST
    while n_ctx < n_prompt + LEAST // 4:
        n_ctx *= 2
    n_ctx = min(n_ctx, n_ctx_max)
    return n_ctx if n_ctx > n_prompt else 0


def _default(cost: Callable[[int], int], room: Room) -> int:
    """The largest power of two that a share of free memory pays for, within the bounds."""
    n_ctx = LEAST
    while n_ctx < _MOST and cost(n_ctx * 2) <= room.n_free // _CONTEXT_SHARE:
        n_ctx *= 2
    return n_ctx


def _most(cost: Callable[[int], int], n_bytes: int) -> int:
    """The most cells, in steps, that ``n_bytes`` pay for."""
    low, high = 0, 2**24 // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        if cost(middle * _STEP) <= n_bytes:
            low = middle
        else:
            high = middle - 1
    return low * _STEP

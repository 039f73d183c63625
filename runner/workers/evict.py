"""Which idle workers to stop so that another model can be loaded.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A resident model as eviction sees it.

    Attributes:
        key: Which.
        n_active: Requests it is answering or has waiting.
        last_used_s: When its last request ended, on a monotonic clock.
    """

    key: str
    n_active: int
    last_used_s: float


def choose(resident: Iterable[Candidate], *, max_resident: int) -> list[str] | None:
    """Return the keys to stop so that one more model may be resident.

    Idle ones go, least recently used first; one that is answering never does.  ``None``: not
    enough of them are idle now.
    """
    candidates = list(resident)
    n_over = len(candidates) + 1 - max_resident
    idle = sorted((c for c in candidates if not c.n_active), key=lambda c: c.last_used_s)
    if n_over > len(idle):
        return None
    return [c.key for c in idle[: max(0, n_over)]]

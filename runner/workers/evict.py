"""Which idle workers to stop so that another model can be loaded.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Loads quicker than this, in seconds, cost the same.
_QUICK_S = 1.0
_LEAST_IDLE_S = 1e-3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A resident model as eviction sees it.

    Attributes:
        key: Which.
        n_active: Requests it is answering or has waiting.
        idle_s: Seconds since its last request ended.
        reload_s: Seconds that its load took.
        n_bytes: What it counts for against the limit of all models together.
        n_private: Bytes that are free for others when it has ended; the file of its weights, where
            it is mapped, is free for others before.
        is_pinned: Whether it may not go.
    """

    key: str
    n_active: int
    idle_s: float
    reload_s: float = 0.0
    n_bytes: int = 0
    n_private: int = 0
    is_pinned: bool = False

    @property
    def worth(self) -> float:
        """What stopping it costs: its load again, the likelier the shorter it has been idle."""
        return max(_QUICK_S, self.reload_s) / max(_LEAST_IDLE_S, self.idle_s)


@dataclass(frozen=True, slots=True)
class Shortage:
    """What is lacking for one more model: places, and bytes of both kinds; 0 or less: nothing."""

    n_places: int = 0
    n_bytes: int = 0
    n_private: int = 0

    def is_met(self, gone: Sequence[Candidate]) -> bool:
        """Whether it is no more when those are gone."""
        return (
            len(gone) >= self.n_places
            and sum(one.n_bytes for one in gone) >= self.n_bytes
            and sum(one.n_private for one in gone) >= self.n_private
        )


def choose(resident: Iterable[Candidate], shortage: Shortage) -> list[str] | None:
    """Return the keys to stop so that nothing lacks any more.

    Idle ones go, those first whose loss costs least for what it frees; one that is answering or
    pinned never does, and none that need not.  ``None``: stopping all of them is not enough now.
    """
    idle = [one for one in resident if not one.n_active and not one.is_pinned]
    wants_bytes = shortage.n_bytes > 0 or shortage.n_private > 0

    def cost(one: Candidate) -> float:
        freed = max(one.n_bytes, one.n_private, 1) if wants_bytes else 1
        return one.worth / freed

    going: list[Candidate] = []
    for one in sorted(idle, key=cost):
        if shortage.is_met(going):
            break
        going.append(one)
    if not shortage.is_met(going):
        return None
    for one in sorted(going, key=lambda one: -one.worth):
        others = [other for other in going if other is not one]
        if shortage.is_met(others):
            going = others
    return [one.key for one in going]

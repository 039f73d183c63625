"""Whether one more model fits, and who must go for it.  Measures nothing, stops nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from runner.domain.sizes import told_apart
from runner.errors import CapacityError, NotEnoughMemory
from runner.workers import evict
from runner.workers.entry import Entry, worker_of
from runner.workers.wanted import PoolSettings, Wanted

#: A model serves for so many times what its load took before it makes room for one that waits.
_TURN_LOADS = 2.0


def in_the_way(
    entries: Sequence[Entry], wanted: Wanted, settings: PoolSettings, n_available: int
) -> list[Entry] | None:
    """Return whom to stop so that one more model fits; ``None``: some of them are busy.

    Args:
        entries: All models that are loaded, load or end.
        wanted: The one more.
        settings: The limits.
        n_available: Main memory that is free now.

    Raises:
        NotEnoughMemory: It would not fit if all of them were idle, and had gone.
        CapacityError: All places are taken by models that are pinned.
    """
    now = time.monotonic()
    candidates = [_candidate(entry, now) for entry in entries]
    arriving = _n_arriving(entries)
    n_limit = settings.n_memory_max or sys.maxsize
    shortage = _shortage(entries, wanted, settings, n_available)
    keys = evict.choose(candidates, shortage)
    if keys is not None:
        return [entry for entry in entries if entry.wanted.key in keys]
    others = [one for one in candidates if not one.is_pinned]
    # What is on its way has not written what it will free.
    n_coming = arriving if any(not entry.loading.done() for entry in entries) else 0
    if not evict.Shortage(
        shortage.n_places, shortage.n_bytes, shortage.n_private - n_coming
    ).is_met(others):
        n_free = min(n_available + sum(one.n_private for one in others), n_limit)
        raise _hopeless(wanted, n_free, is_pinned=shortage.n_places > len(others))
    return None


def overdue(
    entries: Sequence[Entry], wanted: Wanted, settings: PoolSettings, n_available: int
) -> list[Entry]:
    """Return busy models that should take no new requests, so that one that waits has its turn.

    None while others leave already, and none that has not served for twice as long as its load
    took: else models would be loaded in turns, and hardly used.  Arguments as in ``in_the_way``.
    """
    if any(entry.is_leaving or not entry.is_loaded for entry in entries):
        return []
    now = time.monotonic()
    served = [
        replace(_candidate(entry, now), n_active=0)
        for entry in entries
        if now - entry.ready_s >= _TURN_LOADS * entry.load_s
    ]
    keys = evict.choose(served, _shortage(entries, wanted, settings, n_available)) or []
    return [entry for entry in entries if entry.wanted.key in keys and entry.n_leases]


def _shortage(
    entries: Sequence[Entry], wanted: Wanted, settings: PoolSettings, n_available: int
) -> evict.Shortage:
    """What is lacking for one more model."""
    n_limit = settings.n_memory_max or sys.maxsize
    n_held = sum(entry.wanted.n_bytes for entry in entries)
    return evict.Shortage(
        n_places=len(entries) + 1 - settings.max_resident,
        n_bytes=n_held + wanted.n_bytes - n_limit if wanted.n_bytes else 0,
        n_private=wanted.n_bytes + _n_arriving(entries) - n_available if wanted.n_bytes else 0,
    )


def _n_arriving(entries: Sequence[Entry]) -> int:
    """Main memory that loads under way are going to need."""
    return sum(entry.wanted.n_bytes for entry in entries if not entry.loading.done())


def n_freeable(
    entries: Collection[Entry], key: str, n_limit: int, n_available: int, *, all_gone: bool = False
) -> int:
    """Return the main memory that is free, or would be when all that is idle had gone.

    Args:
        entries: All models.
        key: One that counts as idle whatever it does.
        n_limit: What all models together may need; 0: no limit.
        n_available: What is free now.
        all_gone: Whether those that are busy count as idle, too: they will be.
    """
    gone = [
        entry
        for entry in entries
        if entry.wanted.key == key or not ((entry.n_leases and not all_gone) or entry.is_pinned)
    ]
    n_free = n_available + sum(_n_private(entry) for entry in gone)
    if not n_limit:
        return n_free
    n_others = sum(entry.wanted.n_bytes for entry in entries if entry not in gone)
    return max(0, min(n_free, n_limit - n_others))


def _n_private(entry: Entry) -> int:
    """Bytes that are free when it has ended, as measured."""
    worker = worker_of(entry)
    return worker.n_private() if worker else 0


def _candidate(entry: Entry, now: float) -> evict.Candidate:
    return evict.Candidate(
        entry.wanted.key,
        n_active=entry.n_leases,
        idle_s=now - entry.last_used_s,
        reload_s=entry.load_s,
        n_bytes=entry.wanted.n_bytes,
        n_private=_n_private(entry),
        is_pinned=entry.is_pinned and not entry.is_leaving,
    )


def _hopeless(wanted: Wanted, n_free: int, *, is_pinned: bool) -> CapacityError:
    if is_pinned:
        return CapacityError(
            f"no place is left for {wanted.info.name}: all models in memory are pinned there",
            hint="unload one of them, or raise CORRAL_MAX_LOADED_MODELS",
        )
    needed, free = told_apart(wanted.n_bytes, max(0, n_free))
    return NotEnoughMemory(
        f"{wanted.info.name} needs {needed} of memory, and {free} can be free",
        hint="ask for a smaller num_ctx, use a smaller quantization, or close other programs",
    )

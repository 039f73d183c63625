"""How many cores other programs keep busy, measured from the system's own counts.

Reading costs a tenth of a millisecond; it is done a few times a second, while a model computes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

#: Shortest time between two readings that says something, in seconds.
_SHORTEST_S = 0.1


@dataclass(frozen=True, slots=True)
class Reading:
    """What the system had counted at a moment.

    Attributes:
        at_s: When, on a monotonic clock.
        busy_s: Seconds that all cores together have worked for programs of ordinary priority;
            those that run only when nobody else wants to give way to us, too.
        own_s: Seconds of each of our own processes, by its id.
    """

    at_s: float
    busy_s: float
    own_s: Mapping[int, float]


def foreign_cores(before: Reading, now: Reading) -> float | None:
    """Return how many cores others kept busy between two readings; pure.

    ``None``: it cannot be told.  Systems count in steps of 10 ms, so a short time says little; and
    what one of our own processes worked is not known when it began or ended meanwhile.
    """
    seconds = now.at_s - before.at_s
    if seconds < _SHORTEST_S or before.own_s.keys() != now.own_s.keys():
        return None
    own_s = sum(spent - before.own_s[pid] for pid, spent in now.own_s.items())
    return max(0.0, (now.busy_s - before.busy_s - own_s) / seconds)


def read(pids: Iterable[int]) -> Reading:
    """Return what the system has counted now.

    Args:
        pids: Our own processes that compute; this one is added.
    """
    own_s = {}
    for pid in {os.getpid(), *pids}:
        try:
            spent = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue  # it has just ended
        own_s[pid] = spent.user + spent.system
    return Reading(time.monotonic(), _busy_s(), own_s)


def _busy_s() -> float:
    """Seconds of work on the cores that we may use."""
    try:
        ours = os.sched_getaffinity(0)
    except AttributeError:  # only Linux tells
        ours = set()
    if ours and len(ours) < (os.cpu_count() or 1):
        each = psutil.cpu_times(percpu=True)
        return sum(t.user + t.system for i, t in enumerate(each) if i in ours)
    times = psutil.cpu_times()
    return float(times.user + times.system)

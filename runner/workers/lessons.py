"""With what less each model is loaded, since it found no memory or died not long ago."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from runner.workers.lesser import Less

#: Seconds for which a lesson is remembered, and a death.
LESSON_S = 600.0


class Lessons:
    """What was learnt of each model; used from the event loop's thread only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deaths: dict[str, tuple[float, int]] = {}
        self._learnt: dict[str, tuple[float, Less]] = {}

    def is_one(self, key: str, code: int, *, found_no_memory: bool) -> bool:
        """Take note of a death; return whether the model is to be loaded with less for it.

        What was no want of memory is one at the second time: nothing else is known to help.

        Args:
            key: The model.
            code: Exit code of its process; a negative one is the signal's number.
            found_no_memory: Whether that was for want of memory.
        """
        now = self._clock()
        died_s, last = self._deaths.get(key, (-math.inf, 0))
        self._deaths[key] = now, code
        return found_no_memory or (last == code and now - died_s <= LESSON_S)

    def learn(self, key: str, less: Less) -> None:
        """Remember with what less to load a model."""
        self._learnt[key] = self._clock(), less

    def less_for(self, key: str) -> Less | None:
        """Return with what less a model is to be loaded; ``None``: as it is asked for."""
        learnt_s, less = self._learnt.get(key, (-math.inf, None))
        return less if self._clock() - learnt_s <= LESSON_S else None

"""With what less a model is loaded, since it died or found no memory not long ago."""

from __future__ import annotations

import time
from dataclasses import dataclass

from runner.protocol.messages import Load

#: Seconds for which a lesson holds; whatever repeats it has it hold for as long again.
LESSON_S = 600.0


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was learnt of a model.

    Attributes:
        load: What is to be loaded at most.
        notes: What it goes without, and why, in words.
        learnt_s: When that was, by the monotonic clock.
    """

    load: Load
    notes: tuple[str, ...]
    learnt_s: float

    @property
    def is_over(self) -> bool:
        """Whether all that is asked for is to be tried again: nobody goes with less for ever."""
        return time.monotonic() - self.learnt_s > LESSON_S

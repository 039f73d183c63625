"""Keeps a model from being loaded in turns for those who insist on different settings.

Settings that a request insists on have the model loaded again, once it is idle.  Two programs that
insist on different ones would do so for every request of theirs; so after a few such loads in a
while none brings back what was replaced in that time: the request is served with what is there.
Used from the event loop's thread only.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from runner.protocol.messages import Load
from runner.workers.wanted import Wanted

#: Loads for other settings that are free, in the time that is looked back on.
_N_FREE = 3
#: That time in seconds, and how many times a load takes it is at least.
_LOOK_BACK_S, _LOOK_BACK_LOADS = 60.0, 20.0
_N_KEPT = 8


class Reloads:
    """What each model was loaded with before other settings were insisted on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._replaced: dict[str, deque[tuple[float, Load]]] = {}

    def note(self, key: str, load: Load) -> None:
        """Take note that a load gives way to one with other settings."""
        self._replaced.setdefault(key, deque(maxlen=_N_KEPT)).append((self._clock(), load))

    def is_turn(self, wanted: Wanted, load_s: float) -> bool:
        """Whether loading a model as it is wanted would go back and forth.

        Args:
            wanted: The model, with settings that it does not have now.
            load_s: Seconds that its load took.
        """
        since_s = self._clock() - max(_LOOK_BACK_S, _LOOK_BACK_LOADS * load_s)
        recent = [load for at_s, load in self._replaced.get(wanted.key, ()) if at_s >= since_s]
        return len(recent) >= _N_FREE and any(not wanted.lacks(load) for load in recent)

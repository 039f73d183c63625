"""How fast bytes may come: a bucket that fills with time, shared by all who draw from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Seconds of the allowed rate that may come at once after a rest.
_BURST_S = 0.25


class Throttle:
    """A limit on bytes a second.  Safe from any thread; may change at any time.

    Whoever took bytes waits afterwards as long as they cost, so no piece is ever too large.

    Args:
        rate_bps: Bytes a second; 0: no limit.
        clock: Seconds that never go back.
    """

    def __init__(self, rate_bps: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate_bps = rate_bps
        self._clock = clock
        self._lock = threading.Lock()
        self._paid_until = clock()  # the moment at which all that was taken is paid for

    @property
    def rate_bps(self) -> int:
        """The limit; 0: none."""
        return self._rate_bps

    def set_rate(self, rate_bps: int) -> None:
        """Change the limit; what was taken before is forgiven."""
        with self._lock:
            self._rate_bps = rate_bps
            self._paid_until = self._clock()

    def take(self, n_bytes: int) -> float:
        """Take ``n_bytes`` and return how many seconds to wait before taking more."""
        with self._lock:
            if self._rate_bps <= 0:
                return 0.0
            now = self._clock()
            self._paid_until = max(self._paid_until, now - _BURST_S) + n_bytes / self._rate_bps
            return max(0.0, self._paid_until - now)

    def piece_bytes(self, most: int) -> int:
        """Return how much to read at a time, so that a slow stream is also a steady one."""
        rate_bps = self._rate_bps
        return most if rate_bps <= 0 else max(1, min(most, max(1024, rate_bps // 20)))

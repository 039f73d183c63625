"""When requests must have ended.  Pure: the caller has the clock; loop thread only."""

from __future__ import annotations

import math
from dataclasses import dataclass

from runner.errors import DeadlineExceeded
from runner.protocol.messages import Failed


@dataclass(frozen=True, slots=True)
class Deadline:
    """A request must have ended at ``at_s``, on the loop's clock."""

    request_id: str
    at_s: float


class Deadlines:
    """The deadlines of requests that have not ended, in seconds on the caller's clock."""

    def __init__(self) -> None:
        self._at_s: dict[str, float] = {}
        self._next_s = math.inf

    def __len__(self) -> int:
        return len(self._at_s)

    @property
    def next_s(self) -> float:
        """When the next one passes; ``math.inf`` when there is none."""
        return self._next_s

    def add(self, request_id: str, at_s: float) -> None:
        """Watch a request."""
        self._at_s[request_id] = at_s
        self._next_s = min(self._next_s, at_s)

    def discard(self, request_id: str) -> None:
        """A request has ended, whether it had a deadline or not."""
        if self._at_s.pop(request_id, math.inf) <= self._next_s:
            self._next_s = min(self._at_s.values(), default=math.inf)

    def due(self, now_s: float) -> list[str]:
        """Return, and watch no more, the requests whose deadline has passed, the earliest first."""
        if now_s < self._next_s:
            return []
        passed = sorted((at, name) for name, at in self._at_s.items() if at <= now_s)
        for _, name in passed:
            del self._at_s[name]
        self._next_s = min(self._at_s.values(), default=math.inf)
        return [name for _, name in passed]


def too_late(request_id: str, done: str) -> Failed:
    """Return what is said of a request whose deadline has passed; ``done`` says when it did."""
    return Failed(
        request_id,
        DeadlineExceeded.code,
        f"the request's deadline passed {done}",
        "allow more time with deadline_s, or ask for less",
    )

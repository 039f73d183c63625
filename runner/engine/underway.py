"""What happens to requests while another thread prepares them: some are given up, some too late.

Names come in on the inbox thread; everything else is called from the loop thread.
"""

from __future__ import annotations

from enum import Enum, auto


class Fate(Enum):
    """How a request stands whose preparing is over."""

    GOES_ON = auto()
    ABORTED = auto()  # its end is still to be said
    OVER = auto()  # its end was said already


class Underway:
    """The requests that are being prepared."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._aborted: set[str] = set()
        self._over: set[str] = set()

    def __len__(self) -> int:
        return len(self._names)

    def add(self, request_id: str) -> None:
        """A request is to be prepared; safe from any thread."""
        self._names.add(request_id)

    def abort(self, request_id: str) -> None:
        """Give a request up, if it is here; to be said when its preparing is over."""
        if request_id in self._names:
            self._aborted.add(request_id)

    def end(self, request_id: str) -> bool:
        """Give a request up whose end the caller says now; return whether it is here."""
        if request_id not in self._names:
            return False
        self._over.add(request_id)
        return True

    def arrive(self, request_id: str) -> Fate:
        """Forget a request whose preparing is over; return what became of it meanwhile."""
        self._names.discard(request_id)
        is_aborted = request_id in self._aborted
        is_over = request_id in self._over
        self._aborted.discard(request_id)
        self._over.discard(request_id)
        if is_over:
            return Fate.OVER
        return Fate.ABORTED if is_aborted else Fate.GOES_ON

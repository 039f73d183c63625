"""Which bytes of a file to ask for next: bookkeeping only, without network, disk or clock.

A file is cut into parts of ``part_bytes``.  Each part fills from its beginning, so its state is one
number.  A worker claims a run of neighbouring parts and asks for them in one request; runs are
short near the beginning of the file's rest, so that the prefix which is hashed follows closely.

``download.py`` holds its lock around every call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Parts one of several workers asks for at once: 64 MiB keep the hashed prefix near the front.
_LONGEST_RUN = 4


@dataclass(slots=True, eq=False)
class Plan:
    """What has arrived of a file of ``n_bytes``, and who fetches what.

    Attributes:
        n_bytes: Size of the file.
        part_bytes: Size of every part but the last.
        arrived: Bytes from the start of each part that are there; absent means none.
    """

    n_bytes: int
    part_bytes: int
    arrived: dict[int, int] = field(default_factory=dict)
    n_arrived: int = field(init=False, default=0)  # over all parts
    _claimed: set[int] = field(init=False, default_factory=set)
    _first_open: int = field(init=False, default=0)  # every part before it is whole

    def __post_init__(self) -> None:
        if self.n_bytes < 0 or self.part_bytes <= 0:
            raise ValueError(f"no plan for {self.n_bytes} bytes in parts of {self.part_bytes}")
        self._take(self.arrived)

    def _take(self, arrived: Mapping[int, int]) -> None:
        """Begin with what is there already; what cannot be is left out."""
        self.arrived = {
            part: min(n, self.size(part))
            for part, n in arrived.items()
            if 0 <= part < self.n_parts and n > 0
        }
        self.n_arrived = sum(self.arrived.values())
        self._skip_whole()

    @property
    def n_parts(self) -> int:
        """How many parts there are."""
        return -(-self.n_bytes // self.part_bytes)

    @property
    def is_complete(self) -> bool:
        """Whether every byte is there."""
        return self.n_arrived == self.n_bytes

    @property
    def prefix(self) -> int:
        """Bytes that are there without a gap from the beginning of the file."""
        if self._first_open == self.n_parts:
            return self.n_bytes
        return self.start(self._first_open) + self.arrived.get(self._first_open, 0)

    def start(self, part: int) -> int:
        """Offset of a part's first byte."""
        return part * self.part_bytes

    def end(self, part: int) -> int:
        """Offset behind a part's last byte."""
        return min(self.start(part) + self.part_bytes, self.n_bytes)

    def size(self, part: int) -> int:
        """Bytes of a part when it is whole."""
        return self.end(part) - self.start(part)

    def next_byte(self, part: int) -> int:
        """Offset of the first byte of a part that is missing."""
        return self.start(part) + self.arrived.get(part, 0)

    def is_whole(self, part: int) -> bool:
        """Whether all of a part is there."""
        return self.arrived.get(part, 0) == self.size(part)

    def claim(self, n_workers: int) -> list[int]:
        """Return neighbouring parts for one worker; empty when all are whole or claimed.

        Only the first may have begun, so one request fetches them all.  They stay claimed until
        ``release``.

        Args:
            n_workers: How many share the work; one alone takes all it can have in one request.
        """
        is_free = [
            part
            for part in range(self._first_open, self.n_parts)
            if part not in self._claimed and not self.is_whole(part)
        ]
        if not is_free:
            return []
        longest = len(is_free)
        if n_workers > 1:
            longest = max(1, min(_LONGEST_RUN, len(is_free) // (2 * n_workers)))
        run = is_free[:1]
        for part in is_free[1:longest]:
            if part != run[-1] + 1 or self.arrived.get(part, 0):
                break
            run.append(part)
        self._claimed.update(run)
        return run

    def claim_all(self) -> list[int]:
        """Return every part that is neither whole nor claimed, for one who reads the whole file."""
        rest = [
            part
            for part in range(self._first_open, self.n_parts)
            if part not in self._claimed and not self.is_whole(part)
        ]
        self._claimed.update(rest)
        return rest

    def release(self, parts: list[int]) -> None:
        """Give claimed parts back, whole or not."""
        self._claimed.difference_update(parts)

    def advance(self, part: int, n_bytes: int) -> None:
        """Record that ``n_bytes`` more of a part are there."""
        n = self.arrived.get(part, 0) + n_bytes
        if n_bytes < 0 or n > self.size(part):
            raise ValueError(f"part {part} has {self.size(part)} bytes, not {n}")
        self.arrived[part] = n
        self.n_arrived += n_bytes
        self._skip_whole()

    def forget(self, part: int) -> None:
        """Record that a part's bytes are no good and must come again."""
        self.n_arrived -= self.arrived.pop(part, 0)
        self._first_open = min(self._first_open, part)

    def _skip_whole(self) -> None:
        while self._first_open < self.n_parts and self.is_whole(self._first_open):
            self._first_open += 1

"""One range of a download at a time: asks, writes, and tries again when something goes wrong.

Several workers share one ``Shared``.  Which bytes come next is ``ranges.py``'s to say, what an
answer means ``wire.py``'s, how long to wait ``patience.py``'s; ``download.py`` starts the workers.
"""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from runner.errors import SourceError
from runner.hub.patience import Patience
from runner.hub.ranges import Plan
from runner.hub.source import RemoteFile
from runner.hub.throttle import Throttle
from runner.hub.wire import Body, Origin, Setback, Wire
from runner.logs import pairs

logger = logging.getLogger(__name__)

#: Read, written and noted at a time, at most.
PIECE_BYTES = 256 << 10
#: Failures of one place in a row before a worker tries the next one.
_TRIES_OF_ONE = 2


class Target(Protocol):
    """Where bytes go, and what is remembered of them.

    Safe from several threads as long as they write different places.  Each call may raise
    ``CorralError``, which ends the download and keeps what has arrived.
    """

    n_bytes: int
    part_bytes: int

    @property
    def arrived(self) -> dict[int, int]:
        """Bytes from the start of each part that are there."""
        ...

    @property
    def digests(self) -> dict[int, str]:
        """SHA-256 of the parts that are whole."""
        ...

    def write_at(self, offset: int, chunk: bytes) -> None:
        """Write ``chunk`` at ``offset``."""
        ...

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill ``buffer`` from ``offset`` on; return the bytes read, 0 at the end."""
        ...

    def note(self, part: int, n_bytes: int) -> None:
        """Remember that the first ``n_bytes`` of ``part`` are written."""
        ...

    def note_whole(self, part: int, sha256: str) -> None:
        """Remember that ``part`` is written, and what it should hold."""
        ...

    def forget(self, part: int) -> None:
        """Remember that ``part`` must come again."""
        ...

    def sync(self) -> None:
        """Have the system write out what was written and noted so far."""
        ...

    def check_room(self, n_more: int) -> None:
        """Raise ``DiskFull`` when ``n_more`` bytes do not fit on the disk."""
        ...


@dataclass(frozen=True, slots=True)
class Manner:
    """How a file is fetched.

    Attributes:
        n_ranges: Ranges at once.
        patience: What it puts up with.
        throttles: Limits on speed, all of which hold.
        wait: Waits so many seconds at most, for the event.
        clock: Seconds that never go back.
    """

    n_ranges: int = 4
    patience: Patience = field(default_factory=Patience)
    throttles: tuple[Throttle, ...] = ()
    wait: Callable[[threading.Event, float], object] = threading.Event.wait
    clock: Callable[[], float] = time.monotonic


class Changed(Exception):
    """The file became another while it was fetched, and nothing says which is wanted."""


class Enough(Exception):
    """This worker is one too many."""


@dataclass(slots=True, eq=False)
class Shared:
    """What the workers of one download have in common; ``moved`` is held to change it.

    Attributes:
        file: What to fetch.
        target: Where to.
        manner: How.
        plan: What is there, and who fetches what.
        origins: The places that have the file.
        n_workers: Workers at work.
        n_wanted: Workers there should be: one, until a host has shown that it sends ranges.
        n_unsynced: Bytes written since the system was last made to write them out.
        reads_whole: Whether a host sent the whole file, whatever was asked.
        last_origin: The place that answered last.
        moved: Told when something has changed.
        stop: Set when all is over.
    """

    file: RemoteFile
    target: Target
    manner: Manner
    plan: Plan
    origins: list[Origin]
    n_workers: int = 0
    n_wanted: int = 1
    n_unsynced: int = 0
    reads_whole: bool = False
    last_origin: Origin | None = None
    moved: threading.Condition = field(default_factory=threading.Condition)
    stop: threading.Event = field(default_factory=threading.Event)


class Worker:
    """One range at a time: asks, writes, and tries again."""

    def __init__(self, shared: Shared, wire: Wire) -> None:
        self._shared = shared
        self._wire = wire
        self._origin: Origin | None = None
        self._n_failures = 0  # in a row, without a byte between them
        self._luck = random.Random()
        self._looked_s, self._n_since = 0.0, 0  # when its speed was looked at, and bytes since

    def fetch(self, run: list[int]) -> None:
        """Fetch the parts of ``run``, which may grow if a host sends the whole file anyway."""
        shared = self._shared
        while not shared.stop.is_set():
            with shared.moved:
                missing = [part for part in run if not shared.plan.is_whole(part)]
                if not missing:
                    return
                first = shared.plan.next_byte(missing[0])
            try:
                origin = self._choose()
                self._pour(self._ask(origin, first, shared.plan.end(missing[-1])), run)
                self._wire.finish()
            except Setback as setback:
                if shared.stop.is_set():
                    return
                self._bear(setback)

    def _ask(self, origin: Origin, first: int, last: int) -> Body:
        shared = self._shared
        body = self._wire.ask(origin, first, last)
        self._looked_s, self._n_since = shared.manner.clock(), 0
        with shared.moved:
            if shared.last_origin is None and not body.is_whole_file:
                shared.n_wanted = shared.manner.n_ranges
            shared.last_origin = origin
        if not shared.file.sha256 and body.etag:
            if origin.etag and origin.etag != body.etag:
                raise Changed
            origin.etag = body.etag
        return body

    def _pour(self, body: Body, run: list[int]) -> None:
        """Write what ``body`` brings of the parts of ``run``."""
        if body.is_whole_file:
            with self._shared.moved:
                self._shared.n_wanted = 1
                if self._shared.reads_whole and self._shared.n_workers > 1:
                    raise Enough  # one such reader brings everything
                self._shared.reads_whole = True
        while (part := self._next_part(body, run)) is not None:
            while body.first < self._shared.plan.next_byte(part):
                self._read(body, self._shared.plan.next_byte(part) - body.first)  # is there already
            if not self._fill(part, body):
                return

    def _next_part(self, body: Body, run: list[int]) -> int | None:
        """Return the part of ``run`` to go on with, if ``body`` still has something for one.

        Who gets the whole file takes over every part that nobody else is at.
        """
        shared, plan = self._shared, self._shared.plan
        with shared.moved:
            if body.is_whole_file:
                run.extend(plan.claim_all())
            ahead = (part for part in run if not plan.is_whole(part))
            part = min((p for p in ahead if plan.next_byte(p) >= body.first), default=None)
            return part if part is not None and plan.next_byte(part) < body.last else None

    def _fill(self, part: int, body: Body) -> bool:
        """Write the rest of ``part``, as far as ``body`` goes; return whether it is whole."""
        shared, plan, target = self._shared, self._shared.plan, self._shared.target
        own = self._hash_begun(part)
        n_unnoted = 0
        while body.first < min(body.last, plan.end(part)):
            offset = body.first
            chunk = self._read(body, plan.end(part) - offset)
            target.write_at(offset, chunk)
            own.update(chunk)
            n_unnoted += len(chunk)
            self._n_failures = 0
            with shared.moved:
                plan.advance(part, len(chunk))
                n_arrived = plan.arrived[part]
                shared.n_unsynced += len(chunk)
                if n_unnoted >= PIECE_BYTES or plan.is_whole(part):
                    shared.moved.notify_all()
            if n_unnoted >= PIECE_BYTES and n_arrived < plan.size(part):
                n_unnoted = 0
                target.note(part, n_arrived)
        if not plan.is_whole(part):
            return False
        target.note_whole(part, own.hexdigest())
        return True

    def _read(self, body: Body, most: int) -> bytes:
        """Read a piece, no faster than allowed."""
        shared = self._shared
        if shared.stop.is_set():
            raise Setback("broken off")
        self._look_at_speed()
        most = min(most, PIECE_BYTES)
        for throttle in shared.manner.throttles:
            most = throttle.piece_bytes(most)
        chunk = body.read(most)
        self._n_since += len(chunk)
        wait_s = max((one.take(len(chunk)) for one in shared.manner.throttles), default=0.0)
        if wait_s > 0:
            shared.stop.wait(wait_s)
        return chunk

    def _look_at_speed(self) -> None:
        """Leave a place that sends next to nothing, if another one may be asked instead.

        Raises:
            Setback: So it is; bytes that trickle would never end, nor ever count as a failure.
        """
        shared, patience = self._shared, self._shared.manner.patience
        now = shared.manner.clock()
        seconds = now - self._looked_s
        if seconds < patience.slow_s:
            return
        rate_bps = self._n_since / seconds
        self._looked_s, self._n_since = now, 0
        if rate_bps >= patience.least_bps or any(one.rate_bps for one in shared.manner.throttles):
            return
        origin = self._origin
        assert origin is not None, "somebody sends"
        with shared.moved:
            others = (one for one in shared.origins if one is not origin and not one.is_dead)
            if not any(one.not_before <= now for one in others):
                return
            origin.not_before = max(origin.not_before, now + patience.rest_s)
        raise Setback(f"{origin.label} sends {rate_bps:.0f} bytes a second")

    def _hash_begun(self, part: int) -> hashlib._Hash:
        """Begin a part's hash with what of it is there already."""
        own = hashlib.sha256()
        plan, target = self._shared.plan, self._shared.target
        offset, end = plan.start(part), plan.next_byte(part)
        buffer = memoryview(bytearray(min(PIECE_BYTES, end - offset)))
        while offset < end:
            n = target.read_into(offset, buffer[: min(len(buffer), end - offset)])
            if n == 0:
                raise SourceError(f"part {part} of {self._shared.file.name} cannot be read back")
            own.update(buffer[:n])
            offset += n
        return own

    def _choose(self) -> Origin:
        """Return the place to ask next; waits when all of them want to be left alone.

        Raises:
            Enough: None is left.
        """
        shared, now = self._shared, self._shared.manner.clock()
        with shared.moved:
            alive = [origin for origin in shared.origins if not origin.is_dead]
            if not alive:
                raise Enough  # the worker that found the last one dead tells why
            chosen = self._origin
            if chosen is None or chosen.is_dead or chosen.not_before > now:
                chosen = min(alive, key=lambda origin: max(0.0, origin.not_before - now))
            wait_s = chosen.not_before - now
            self._origin = chosen
        if wait_s > 0:
            shared.manner.wait(shared.stop, wait_s)
            if shared.stop.is_set():
                raise Setback("broken off")
        return chosen

    def _bear(self, setback: Setback) -> None:
        """Take a failure: change the place, wait, make room for others, or give up.

        Raises:
            SourceError: There is nothing left to try.
            Enough: Others go on without this worker.
        """
        shared, origin, patience = self._shared, self._origin, self._shared.manner.patience
        assert origin is not None, "what failed was a place"
        self._n_failures += 1
        wanted_s = setback.retry_after_s
        with shared.moved:
            now = shared.manner.clock()
            if setback.is_lasting or (wanted_s or 0) > patience.longest_retry_after_s:
                origin.is_dead = True
            elif wanted_s is not None:
                origin.not_before = max(origin.not_before, now + wanted_s)
            alive = [one for one in shared.origins if not one.is_dead]
            others_work = shared.n_workers > 1
            if (
                alive
                and others_work
                and (setback.is_crowded or self._n_failures >= patience.n_tries)
            ):
                shared.n_wanted = max(1, shared.n_workers - 1)
                raise Enough
        logger.info("download met a setback %s", pairs(name=shared.file.name, why=setback.words))
        if not alive or self._n_failures >= patience.n_tries:
            raise _no_more(shared.file, setback, self._n_failures)
        if origin.is_dead or (len(alive) > 1 and self._n_failures % _TRIES_OF_ONE == 0):
            places = [one for one in alive if one is not origin]
            self._origin = min(places, key=lambda one: max(0.0, one.not_before - now))
            if origin.is_dead:
                return
        if wanted_s is None:
            luck = self._luck.random()
            shared.manner.wait(shared.stop, patience.wait_s(self._n_failures, luck))


def _no_more(file: RemoteFile, setback: Setback, n_failures: int) -> SourceError:
    tried = f" (tried {n_failures} times)" if n_failures > 1 else ""
    places = 1 + len(file.candidates)
    where = f"; {places} places have it" if places > 1 else ""
    return SourceError(
        f"cannot download {file.name}: {setback.words}{tried}{where}",
        hint="what has arrived is kept; pull it again to go on",
    )

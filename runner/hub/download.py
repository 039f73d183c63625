"""Fetching one file: several ranges at once, hashed while they arrive, from any place that has it.

Threads do the work: a worker for each range (``worker.py``), one that hashes the prefix which is
complete, one that has the system write things out.  hashlib, sockets and files let go of Python's
lock, so they run side by side and beside the daemon's loop.  Where bytes are kept, and what of them
survives a crash, is the ``Target``'s.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Generator
from dataclasses import replace

from runner.domain.progress import Progress
from runner.errors import SourceError
from runner.hub.ranges import Plan
from runner.hub.source import Candidate, RemoteFile
from runner.hub.wire import Origin, Wire
from runner.hub.worker import Changed, Enough, Manner, Shared, Target, Worker
from runner.logs import pairs

logger = logging.getLogger(__name__)

_HASH_BYTES = 1 << 20  # hashed at a time
_TELL_S = 0.1  # between two moments of progress
_ROOM_S = 1.0  # between two looks at the disk's free space
_SYNC_BYTES = 64 << 20  # written out at the latest after so many bytes,
_SYNC_S = 2.0  # or so many seconds
_MOST_CHANGES = 3  # of a file without a promised digest, while it is fetched


class Fetch:
    """One file on its way; ``run`` once.

    Args:
        file: What to fetch.
        target: Where to.
        manner: How.
        is_hashed: Whether the whole file's digest is worked out on the way.

    Attributes:
        states: The hash before each part, as far as it was worked out.
    """

    def __init__(
        self, file: RemoteFile, target: Target, manner: Manner, *, is_hashed: bool = True
    ) -> None:
        places: tuple[RemoteFile | Candidate, ...] = (file, *file.candidates)
        self.states: list[hashlib._Hash] = []
        self._is_hashed = is_hashed
        self._shared = Shared(
            file,
            target,
            manner,
            Plan(target.n_bytes, target.part_bytes, dict(target.arrived)),
            [Origin(place, file) for place in places],
        )
        self._threads: list[threading.Thread] = []
        self._wires: list[Wire] = []
        self._n_hashed = 0
        self._digest = ""
        self._error: BaseException | None = None

    def run(self) -> Generator[Progress, None, str]:
        """Yield progress until every byte is there; return ``sha256:<hex>`` of the file.

        Closing it keeps what has arrived.  The digest is empty when ``is_hashed`` is not set.

        Raises:
            SourceError: No place could give the bytes.
            CorralError: The target failed.
        """
        shared, clock = self._shared, self._shared.manner.clock
        self._check_room()
        looked_at = clock()
        self._spawn(self._keep_syncing)
        if self._is_hashed:
            self._spawn(self._hash)
        try:
            while not self._is_done():
                with shared.moved:
                    self._add_workers()
                    shared.moved.wait(_TELL_S)
                    progress = self._progress()
                if self._error is not None:
                    raise self._error
                if clock() - looked_at >= _ROOM_S:
                    looked_at = clock()
                    self._check_room()
                yield progress
        finally:
            self._end()
        shared.target.sync()
        return self._digest

    # On the caller's thread

    def _check_room(self) -> None:
        plan = self._shared.plan
        self._shared.target.check_room(plan.n_bytes - plan.n_arrived)

    def _is_done(self) -> bool:
        with self._shared.moved:
            is_hashed = bool(self._digest) or not self._is_hashed
            return self._error is None and self._shared.plan.is_complete and is_hashed

    def _progress(self) -> Progress:
        plan = self._shared.plan
        if plan.is_complete and self._is_hashed:
            return Progress("verifying", self._n_hashed, plan.n_bytes)
        origin = self._shared.last_origin or self._shared.origins[0]
        return Progress("fetching", plan.n_arrived, plan.n_bytes, source=origin.label)

    def _add_workers(self) -> None:
        """Have as many workers as are wanted, while there is something left to claim."""
        shared = self._shared
        while shared.n_workers < shared.n_wanted and self._error is None:
            run = shared.plan.claim(shared.manner.n_ranges)
            if not run:
                return
            shared.n_workers += 1
            wire = Wire(shared.manner.patience.stall_s)
            self._wires.append(wire)
            self._spawn(self._work, run, wire)

    def _spawn(self, work: Callable[..., None], *arguments: object) -> None:
        def guarded() -> None:
            try:
                work(*arguments)
            except BaseException as error:  # carried over to the caller's thread, and raised there
                with self._shared.moved:
                    self._error = self._error or error
                    self._shared.moved.notify_all()

        self._threads = [one for one in self._threads if one.is_alive()]
        thread = threading.Thread(target=guarded, name="download", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _end(self) -> None:
        self._shared.stop.set()
        with self._shared.moved:
            wires = list(self._wires)
            self._shared.moved.notify_all()
        for wire in wires:
            wire.abort()
        for thread in self._threads:
            thread.join()

    # On threads of their own

    def _work(self, run: list[int], wire: Wire) -> None:
        """Fetch ``run``, and whatever may be claimed after it."""
        shared = self._shared
        worker = Worker(shared, wire)
        try:
            while run and not shared.stop.is_set():
                try:
                    worker.fetch(run)
                finally:
                    with shared.moved:
                        shared.plan.release(run)
                with shared.moved:
                    run = shared.plan.claim(shared.manner.n_ranges)
        except Enough:
            pass
        finally:
            with shared.moved:
                shared.n_workers -= 1
                self._wires.remove(wire)
                shared.moved.notify_all()
            wire.close()

    def _hash(self) -> None:
        """Hash the prefix as it grows, and compare parts of an earlier run with what is noted."""
        plan, target = self._shared.plan, self._shared.target
        buffer = memoryview(bytearray(_HASH_BYTES))
        noted = dict(target.digests)
        whole, own, offset = hashlib.sha256(), hashlib.sha256(), 0
        while offset < plan.n_bytes:
            part = offset // plan.part_bytes
            if offset == plan.start(part):
                self.states[part:] = [whole.copy()]
                own = hashlib.sha256()
            end = min(self._await_prefix(offset), plan.end(part), offset + len(buffer))
            if self._shared.stop.is_set():
                return
            n = target.read_into(offset, buffer[: end - offset])
            if n == 0:
                raise SourceError("the file that is being downloaded lost its end on this disk")
            whole.update(buffer[:n])
            offset += n
            if part in noted:
                own.update(buffer[:n])
                if offset == plan.end(part) and own.hexdigest() != noted.pop(part):
                    self._lose(part)
                    offset, whole = plan.start(part), self.states[part].copy()
            self._n_hashed = offset
        with self._shared.moved:
            self._digest = f"sha256:{whole.hexdigest()}"
            self._shared.moved.notify_all()

    def _await_prefix(self, offset: int) -> int:
        """Return how far the prefix reaches once that is beyond ``offset``, or all is over."""
        shared = self._shared
        with shared.moved:
            while shared.plan.prefix <= offset and not shared.stop.is_set():
                shared.moved.wait(_TELL_S)
            return shared.plan.prefix

    def _lose(self, part: int) -> None:
        """Have a part fetched again that is not what was noted of it, after a power cut perhaps."""
        logger.warning("part is fetched again %s", pairs(part=part, reason="damaged on disk"))
        self._shared.target.forget(part)
        with self._shared.moved:
            self._shared.plan.forget(part)
            self._shared.moved.notify_all()

    def _keep_syncing(self) -> None:
        """Have what arrived written out, often enough that a power cut costs little."""
        shared, clock = self._shared, self._shared.manner.clock
        synced_at = clock()
        while not shared.stop.wait(_TELL_S):
            n = shared.n_unsynced
            if n >= _SYNC_BYTES or (n and clock() - synced_at >= _SYNC_S):
                with shared.moved:
                    shared.n_unsynced = 0
                shared.target.sync()
                synced_at = clock()


def fetch(
    file: RemoteFile, target: Target, manner: Manner
) -> Generator[Progress, None, tuple[str, list[hashlib._Hash]]]:
    """Bring ``file`` to ``target``; yields progress, returns its digest and ``Fetch.states``.

    A file without a promised digest that changes on the way is fetched anew.  Phases are
    ``fetching`` and ``verifying``.

    Raises:
        SourceError: No place could give the bytes.
        CorralError: The target failed.
    """
    for _ in range(_MOST_CHANGES):
        run = Fetch(file, target, manner)
        try:
            digest = yield from run.run()
            return digest, run.states
        except Changed:
            for part in list(target.arrived):
                target.forget(part)
    raise SourceError(
        f"{file.name} changed {_MOST_CHANGES} times while it was fetched",
        hint="pull it again when its owner is done",
    )


def without_first(file: RemoteFile) -> RemoteFile:
    """Return ``file`` with its first place last: for a second try, the others come first."""
    if not file.candidates:
        return file
    other, *rest = file.candidates
    first = Candidate(file.location, file.headers, file.provenance)
    return replace(
        file,
        location=other.location,
        headers=other.headers,
        provenance=other.provenance,
        candidates=(*rest, first),
    )

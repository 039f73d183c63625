"""A remote file into the store: fetched, made sure of, and set aside if it is the wrong one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from runner.domain.progress import Progress
from runner.errors import DigestMismatch, StoreError
from runner.hub.download import fetch
from runner.hub.mend import mend
from runner.hub.patience import Patience
from runner.hub.source import RemoteFile
from runner.hub.throttle import Throttle
from runner.hub.worker import Manner
from runner.service.run import Run
from runner.store.arrival import Arrival, open_arrival
from runner.store.disk import plain
from runner.store.library import Library

T = TypeVar("T")

#: Between two looks at a file that another job, or another daemon, is fetching.
_LOOK_S = 0.2


@dataclass(slots=True, eq=False)
class Downloads:
    """Brings remote files.  Each call blocks, on the thread of its job.

    Attributes:
        library: Where to.
        throttle: The limit on speed that all share.
        n_ranges: Ranges of one file at once.
        patience: What a download puts up with.
    """

    library: Library
    throttle: Throttle
    n_ranges: int = 4
    patience: Patience = field(default_factory=Patience)

    def bring(self, file: RemoteFile, run: Run) -> Generator[Progress, None, Arrival | str]:
        """Return ``file`` as it arrived, or the digest of the blob that has its bytes already.

        The caller owns what is returned.  Closing the generator keeps what has arrived.

        Raises:
            SourceError: No place could give the bytes.
            DigestMismatch: They are not the promised ones, and would not become so.
            DiskFull: There is no room.
        """
        digest = f"sha256:{file.sha256.lower()}" if file.sha256 else ""
        key = digest or file.location
        told = Progress(f"pulling {digest[7:19] or file.name}", 0, file.n_bytes, digest)
        yield told
        run.note(key)
        while True:
            if digest and (yield from self._is_here(digest, file.n_bytes)):
                yield replace(told, n_done=file.n_bytes)
                return digest
            folder = self.library.blobs.partial
            arrival = open_arrival(folder, key, file.n_bytes, is_kept=bool(digest))
            if arrival is not None:
                break
            yield replace(told, n_done=0)
            if run.stop.wait(_LOOK_S):
                yield told  # the last one that is asked for
        try:
            yield from self._fetch(file, arrival, run, told)
        except BaseException:
            arrival.close()
            raise
        return arrival

    def _is_here(self, digest: str, n_bytes: int) -> Generator[Progress, None, bool]:
        """Whether there is a sound blob of this digest; a damaged one is fetched again."""
        blobs = self.library.blobs
        if not blobs.has(digest, n_bytes):
            return False
        try:
            yield from (Progress("verifying sha256 digest") for _ in blobs.verify(digest))
        except (DigestMismatch, StoreError):
            return False
        return True

    def _fetch(
        self, file: RemoteFile, arrival: Arrival, run: Run, told: Progress
    ) -> Generator[Progress, None, None]:
        manner = Manner(
            n_ranges=self.n_ranges,
            patience=self.patience,
            throttles=(run.throttle, self.throttle),
        )
        moments = fetch(file, arrival, manner)
        digest, states = yield from _in_words(moments, told)
        if told.digest and digest != told.digest:
            mended = mend(file, arrival, manner, states)
            if not (yield from _in_words(mended, told)):
                raise self._set_aside(file, arrival, digest)
            digest = told.digest
        arrival.digest = digest
        yield replace(told, n_done=file.n_bytes)

    def _set_aside(self, file: RemoteFile, arrival: Arrival, digest: str) -> DigestMismatch:
        place = arrival.quarantine(self.library.quarantine)
        return DigestMismatch(
            f"{file.name} is not what its source promises: its bytes have the digest {digest},"
            f" promised was sha256:{file.sha256}, and fetching it again did not help",
            hint=f"nothing was installed; what came is kept in {plain(place)}, and may be deleted",
        )


def _in_words(
    moments: Generator[Progress, None, T], told: Progress
) -> Generator[Progress, None, T]:
    """Tell a download's moments in the words of a pull."""
    with closing(moments):
        while True:
            try:
                moment = next(moments)
            except StopIteration as end:
                return cast(T, end.value)
            if moment.phase == "fetching":
                yield replace(told, n_done=moment.n_done, source=moment.source)
            elif moment.phase == "repairing":
                yield Progress("repairing", moment.n_done, moment.n_bytes, source=moment.source)
            else:
                yield replace(told, n_done=told.n_bytes)  # what is left is to hash the last bytes

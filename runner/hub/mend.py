"""A file whose digest does not hold: its parts come again until it does, one extra file at most.

Each part that comes again is compared with what was noted of the first one.  Where they differ the
new one takes its place, and the digest is tried again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import replace

from runner.domain.progress import Progress
from runner.hub.download import Fetch, without_first
from runner.hub.source import RemoteFile
from runner.hub.worker import Manner, Target

#: Parts after which the whole digest is tried again at once.  More differing ones mean another
#: file altogether, and to hash all of it for each would take for ever.
_TRIES = 8
_HASH_BYTES = 1 << 20


class _Second:
    """A ``Target`` that takes every part once more, into memory, and keeps those that differ."""

    def __init__(self, first: Target, states: list[hashlib._Hash], wanted: str) -> None:
        self.n_bytes = first.n_bytes
        self.part_bytes = first.part_bytes
        self.arrived: dict[int, int] = {}
        self.digests: dict[int, str] = {}
        self.holds = False
        self.n_changed = 0
        self._first = first
        self._states = states
        self._wanted = wanted
        self._part = bytearray()

    def write_at(self, offset: int, chunk: bytes) -> None:
        """Take the next bytes; one worker brings them in order."""
        start = offset // self.part_bytes * self.part_bytes
        del self._part[offset - start :]
        self._part += chunk

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Give back bytes of the part at hand."""
        chunk = self._part[offset % self.part_bytes :][: len(buffer)]
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def note(self, part: int, n_bytes: int) -> None:
        """Nothing: a part that is not whole begins again."""

    def note_whole(self, part: int, sha256: str) -> None:
        """Compare a part with the first one, and take it if it is another."""
        if self.holds or sha256 == self._first.digests.get(part):
            return
        self._first.write_at(part * self.part_bytes, bytes(self._part))
        self._first.note_whole(part, sha256)
        self.n_changed += 1
        self._rehash(part)

    def forget(self, part: int) -> None:
        """Nothing: it was never remembered."""

    def sync(self) -> None:
        """Nothing: the first one is synced when all is over."""

    def check_room(self, n_more: int) -> None:
        """Nothing: the bytes go where others are."""

    def finish(self) -> None:
        """Try the digest once more when it was not tried after the last change."""
        if self.n_changed > _TRIES and not self.holds:
            self._try(0)

    def _rehash(self, part: int) -> None:
        if self.n_changed <= _TRIES:
            self._try(part)

    def _try(self, part: int) -> None:
        """Hash the file from ``part`` on; what lies before it was hashed already."""
        whole = self._states[part].copy()
        del self._states[part + 1 :]
        buffer = memoryview(bytearray(_HASH_BYTES))
        offset = part * self.part_bytes
        while offset < self.n_bytes:
            at = offset // self.part_bytes
            if offset == at * self.part_bytes:
                self._states[at:] = [whole.copy()]
            n_left = (at + 1) * self.part_bytes - offset
            n = self._first.read_into(offset, buffer[: min(len(buffer), n_left)])
            if n == 0:
                return
            whole.update(buffer[:n])
            offset += n
        self.holds = whole.hexdigest() == self._wanted


def mend(
    file: RemoteFile, target: Target, manner: Manner, states: list[hashlib._Hash]
) -> Generator[Progress, None, bool]:
    """Fetch parts of ``file`` again until the digest it promises holds; return whether it does.

    Other places than the first are asked first.  Yields progress.

    Args:
        file: Has a ``sha256``, which does not hold.
        target: Has all of its bytes.
        manner: Of the first fetch; there is but one range at a time.
        states: The hash before each part, as ``fetch`` returned them.

    Raises:
        SourceError: No place could give the bytes again.
    """
    assert file.sha256, "without a promised digest there is nothing to hold"
    second = _Second(target, states, file.sha256.lower())
    again = Fetch(without_first(file), second, replace(manner, n_ranges=1), is_hashed=False)
    run = again.run()
    try:
        for progress in run:
            if second.holds:
                break
            yield replace(progress, phase="repairing")
    finally:
        run.close()
    second.finish()
    target.sync()
    return second.holds

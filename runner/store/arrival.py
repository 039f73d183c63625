"""A file on its way into the store: its bytes and its journal, in ``partial/``.

It outlives the process that fetches it: the next one that opens the same key goes on where that
one was.  A lock on the file keeps two from writing it, in one process or in several.  It becomes a
blob only through ``Library.commit``, which checks nothing any more: whoever sets ``digest`` has.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import time
from pathlib import Path

import psutil

from runner.store import journal
from runner.store.disk import (
    disk_full,
    explained,
    make_folder,
    n_free_bytes,
    open_fd,
    replace_file,
    sync_folder,
)
from runner.store.journal import Arrived, Head
from runner.store.lock import try_lock

#: Bytes whose hash is noted, and which are fetched again together when they are damaged.
PART_BYTES = 16 << 20
PREFIX = "pull-"
DATA, _JOURNAL = ".data", ".journal"
_SCRATCH = "journal-"
_OLD_S = 3600.0
_ACTION = "cannot keep what was downloaded"


class Arrival:
    """Bytes that arrive.  Safe from several threads that write different places.

    Owned by whoever ``open_arrival`` gave it to, until ``close``, ``discard``, ``quarantine`` or a
    commit.  Each call may raise ``DiskFull`` or ``StoreError``.

    Attributes:
        path: Where the bytes are.
        n_bytes: How many there will be.
        part_bytes: Size of each part but the last.
        digest: ``sha256:<hex>`` of all of them, once somebody has made sure of it.
    """

    def __init__(self, folder: Path, key: str, n_bytes: int, fd: int, boot: str) -> None:
        self.path = _path(folder, key, DATA)
        self.n_bytes = n_bytes
        self.part_bytes = PART_BYTES
        self.digest = ""
        self._fd = fd
        self._head = Head(key, n_bytes, PART_BYTES, boot)
        self._journal_path = _path(folder, key, _JOURNAL)
        self._arrived = self._believed()
        if self._arrived.parts:
            os.fsync(fd)  # the new journal vouches for all of it
        self._lock = threading.Lock()  # of the journal, and of the file's position on Windows
        replace_file(
            self._journal_path,
            journal.begin(self._head, self._arrived),
            scratch=folder,
            prefix=_SCRATCH,
        )
        self._journal = open_fd(self._journal_path, os.O_WRONLY | os.O_APPEND)

    @property
    def arrived(self) -> dict[int, int]:
        """Bytes from the start of each part that are there."""
        return self._arrived.parts

    @property
    def digests(self) -> dict[int, str]:
        """SHA-256 of the parts that are whole."""
        return self._arrived.digests

    @property
    def n_arrived(self) -> int:
        """Bytes that are there."""
        return sum(self._arrived.parts.values())

    def part_digests(self) -> list[str]:
        """Return the SHA-256 of every part in order, once all are whole."""
        return [self._arrived.digests[part] for part in sorted(self._arrived.digests)]

    def write_at(self, offset: int, chunk: bytes) -> None:
        """Write ``chunk`` at ``offset``."""
        view = memoryview(chunk)
        with explained(_ACTION, folder=self.path.parent, n_bytes=self.n_bytes - self.n_arrived):
            while view:
                n = self._write_some(offset, view)
                view, offset = view[n:], offset + n

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill ``buffer`` from ``offset`` on; return the bytes read, 0 at the end."""
        with explained("cannot read back what was downloaded"):
            if hasattr(os, "preadv"):
                return os.preadv(self._fd, [buffer], offset)
            with self._lock:
                os.lseek(self._fd, offset, os.SEEK_SET)
                chunk = os.read(self._fd, len(buffer))
            buffer[: len(chunk)] = chunk
            return len(chunk)

    def note(self, part: int, n_bytes: int) -> None:
        """Remember that the first ``n_bytes`` of ``part`` are written."""
        with self._lock:
            self._arrived.parts[part] = n_bytes
            self._append(journal.note(part, n_bytes))

    def note_whole(self, part: int, sha256: str) -> None:
        """Remember that ``part`` is written, and what it should hold."""
        with self._lock:
            size = min(self.part_bytes, self.n_bytes - part * self.part_bytes)
            self._arrived.parts[part] = size
            self._arrived.digests[part] = sha256
            self._append(journal.note_whole(part, sha256))

    def forget(self, part: int) -> None:
        """Remember that ``part`` must come again."""
        with self._lock:
            self._arrived.parts.pop(part, None)
            self._arrived.digests.pop(part, None)
            self._append(journal.forget(part))

    def sync(self) -> None:
        """Have the system write out what was written and noted so far."""
        with explained(_ACTION, folder=self.path.parent):
            with self._lock:
                n_noted = os.fstat(self._journal).st_size
            os.fsync(self._fd)
            with self._lock:
                self._append(journal.synced(n_noted))
            os.fsync(self._journal)

    def check_room(self, n_more: int) -> None:
        """Do nothing when ``n_more`` bytes fit on the disk.

        Raises:
            DiskFull: They do not; what has arrived is kept.
        """
        if n_more > n_free_bytes(self.path.parent):
            raise disk_full("cannot download the model", self.path.parent, n_more)

    def close(self) -> None:
        """Let go of it; what has arrived stays for the next one who opens it."""
        with self._lock:
            for fd in (self._journal, self._fd):
                if fd >= 0:
                    os.close(fd)
            self._journal = self._fd = -1

    def discard(self) -> None:
        """Remove it with all that has arrived; harmless after a commit."""
        for path in (self.path, self._journal_path):
            if os.name != "nt":  # removed while it is locked, nobody can open it in between
                _remove(path)
        self.close()
        if os.name == "nt":
            _remove(self.path)
            _remove(self._journal_path)

    def move_to(self, path: Path) -> None:
        """Give the bytes their final name; called by ``Blobs.commit``, under the store's lock."""
        os.fsync(self._fd)
        make_folder(path.parent)
        if os.name == "nt":  # Windows moves no open file
            self.close()
        self.path.replace(path)
        sync_folder(path.parent)
        _remove(self._journal_path)
        self.close()

    def quarantine(self, folder: Path) -> Path:
        """Move the bytes where nothing loads them; return the place.

        Args:
            folder: Made if it is not there.
        """
        place = folder / f"{self.path.stem.removeprefix(PREFIX)}.bad"
        with explained("cannot put the damaged file aside", folder=folder):
            make_folder(folder)
            if os.name == "nt":
                self.close()
            self.path.replace(place)
        self.discard()
        return place

    def _believed(self) -> Arrived:
        """What the journal says, as far as the file itself is long enough for it."""
        try:
            content = self._journal_path.read_bytes()
        except OSError:
            return Arrived()
        said = journal.replay(content, self._head)
        size = os.fstat(self._fd).st_size
        there = {p: n for p, n in said.parts.items() if p * self.part_bytes + n <= size}
        return Arrived(there, {p: d for p, d in said.digests.items() if p in there})

    def _write_some(self, offset: int, view: memoryview) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._fd, view, offset)
        with self._lock:
            os.lseek(self._fd, offset, os.SEEK_SET)
            return os.write(self._fd, view)

    def _append(self, line: bytes) -> None:
        with explained(_ACTION, folder=self.path.parent):
            os.write(self._journal, line)


def open_arrival(folder: Path, key: str, n_bytes: int, *, is_kept: bool = True) -> Arrival | None:
    """Return the file of ``key``, with what has arrived of it; ``None`` while another has it.

    Args:
        folder: ``partial/`` of the store; made if it is not there.
        key: ``sha256:<hex>``, or any other text that means one file.
        n_bytes: Its size.
        is_kept: Whether what an earlier run left may be used; else it begins empty.

    Raises:
        DiskFull: There is no room even for the journal.
        StoreError: The folder cannot be written.
    """
    path = _path(folder, key, DATA)
    with explained(_ACTION, folder=folder):
        make_folder(folder)
        fd = open_fd(path, os.O_RDWR | os.O_CREAT)
        try:
            # Whoever had it may have moved or removed it between our opening and our locking.
            if not try_lock(fd) or not _is_at(path, fd):
                os.close(fd)
                return None
            if not is_kept:
                os.ftruncate(fd, 0)
            return Arrival(folder, key, n_bytes, fd, boot_id())
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(fd)
            raise


def discard_arrival(folder: Path, key: str) -> None:
    """Remove what has arrived of ``key``, unless somebody is at it."""
    path = _path(folder, key, DATA)
    if not path.exists():
        return
    arrival = open_arrival(folder, key, 0)
    if arrival is not None:
        arrival.discard()


def key_stem(key: str) -> str:
    """Return what a key is called in the names of files; only plain characters, whatever it has."""
    stem = key.removeprefix("sha256:")
    if re.fullmatch(r"[0-9a-f]{64}|url-[0-9a-f]{64}", stem):
        return stem
    return "url-" + hashlib.sha256(key.encode()).hexdigest()


def is_held(path: Path) -> bool:
    """Whether somebody is at the arrival whose data is at ``path``, or it went meanwhile."""
    try:
        fd = open_fd(path, os.O_RDWR)
    except OSError:
        return True
    try:
        return not try_lock(fd)
    finally:
        os.close(fd)


def tidy_arrivals(folder: Path) -> None:
    """Remove what a crash left beside the files that arrive, never those themselves."""
    for path in folder.glob(f"{PREFIX}*{_JOURNAL}"):
        if not path.with_suffix(DATA).exists():
            _remove(path)
    for path in folder.glob(f"{_SCRATCH}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _OLD_S:  # else somebody may be writing it
                _remove(path)


def boot_id() -> str:
    """Return what tells one run of the operating system from the next."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"booted {int(psutil.boot_time())}"


def _path(folder: Path, key: str, suffix: str) -> Path:
    """Where the file of ``key`` is."""
    return folder / f"{PREFIX}{key_stem(key)}{suffix}"


def _is_at(path: Path, fd: int) -> bool:
    try:
        there = path.stat()
    except OSError:
        return False
    own = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)

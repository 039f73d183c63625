"""Files named by their own SHA-256: written in ``partial/``, hashed on the way, moved when whole.

A blob that exists is complete and never changes.  What belongs to a name is for ``library.py``,
which also holds the store's lock where this file says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from runner.domain.progress import Progress
from runner.errors import BadModelFile, DigestMismatch, StoreError
from runner.logs import pairs
from runner.store.disk import (
    disk_full,
    explained,
    make_folder,
    n_free_bytes,
    open_fd,
    sync_folder,
)
from runner.store.lock import try_lock, unlock
from runner.store.reflink import reflink

logger = logging.getLogger(__name__)

#: Read, hashed and written at a time; also how often progress is told.
CHUNK_BYTES = 4 << 20
_PREFIX = "copy-"
#: How a blob is named everywhere but in its file name.
DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class Partial:
    """A blob while it is written: hashed as it grows, locked so that prune leaves it alone.

    Owned by one thread.  Gone after ``discard``, or after ``commit`` gave it its final name.
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        while True:
            fd, name = tempfile.mkstemp(dir=folder, prefix=_PREFIX)
            # A prune may have taken the file for abandoned before it was locked.
            if try_lock(fd) and Path(name).exists():
                break
            os.close(fd)
        self.path = Path(name)
        self.n_bytes = 0
        self._hash = hashlib.sha256()
        self._file = os.fdopen(fd, "wb")

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` of what has been written so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, chunk: bytes | memoryview) -> None:
        """Append ``chunk``; may raise ``OSError``."""
        self._file.write(chunk)
        self._hash.update(chunk)
        self.n_bytes += len(chunk)

    def share(self, source: BinaryIO) -> bool:
        """Take the bytes of ``source`` without copying them, where the file system can do that.

        What was taken is still to be read by ``read_back``.
        """
        return reflink(source, self._file)

    def read_back(self) -> Iterator[int]:
        """Hash what ``share`` took; yields the bytes read so far."""
        with self.path.open("rb") as file:
            for chunk in _chunks(file):
                self._hash.update(chunk)
                self.n_bytes += len(chunk)
                yield self.n_bytes

    def sync(self) -> None:
        """Have the system write all of it to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def open_to_others(self) -> None:
        """Let another process write it while this one keeps it open.

        Windows keeps others from writing a locked byte, and from removing a file that is open.
        """
        if os.name == "nt":
            unlock(self._file.fileno())

    def discard(self) -> None:
        """Remove it, unless it has been committed."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def move_to(self, path: Path) -> None:
        """Give it its final name; called after ``sync``, under the store's lock."""
        make_folder(path.parent)
        if os.name == "nt":  # Windows moves no open file
            self._file.close()
        self.path.replace(path)
        sync_folder(path.parent)
        self._file.close()


class Written(Protocol):
    """Bytes that are whole and only want their name: a ``Partial``, or an ``Arrival``."""

    n_bytes: int

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` of them all."""
        ...

    def move_to(self, path: Path) -> None:
        """Give them their final name."""
        ...

    def discard(self) -> None:
        """Remove them, unless they have been moved."""
        ...


class Blobs:
    """The blobs of one models folder.  Reading is safe from any thread, at any time."""

    def __init__(self, models: Path) -> None:
        self.folder = models / "blobs"
        self.partial = models / "partial"

    def path(self, digest: str) -> Path:
        """Return where the blob ``sha256:<hex>`` lies, or would.

        Raises:
            StoreError: ``digest`` has another form.
        """
        match = DIGEST.fullmatch(digest)
        if match is None:
            raise StoreError(f"'{digest}' is not a digest; want sha256: and 64 hex digits")
        return self.folder / f"sha256-{match[1]}"

    def has(self, digest: str, n_bytes: int | None = None) -> bool:
        """Whether the blob is there, and of that size."""
        try:
            size = self.path(digest).stat().st_size
        except OSError:
            return False
        return n_bytes is None or size == n_bytes

    def digests(self) -> dict[str, int]:
        """Return all blobs, and the size of each in bytes."""
        found: dict[str, int] = {}
        with explained("cannot read the library"):
            try:
                entries = [*os.scandir(self.folder)]
            except (FileNotFoundError, NotADirectoryError):
                return found
            for entry in entries:
                digest = entry.name.replace("sha256-", "sha256:", 1)
                if DIGEST.fullmatch(digest) and entry.is_file():
                    with contextlib.suppress(FileNotFoundError):
                        found[digest] = entry.stat().st_size
        return found

    def find_same(
        self, file: BinaryIO, n_bytes: int, expected: str = ""
    ) -> Generator[Progress, None, str]:
        """Return the digest of ``file`` if a sound blob has its bytes, else an empty text.

        Nothing is read where no blob has its size.  ``file`` is at its start before and after.

        Args:
            file: Not closed.
            n_bytes: How long it is.
            expected: The digest it should have, when that is known.

        Raises:
            StoreError: It cannot be read.
        """
        here = self.digests()
        if n_bytes not in here.values() or (expected and expected not in here):
            return ""
        with explained("cannot read the file"):
            digest = yield from hash_file(file, n_bytes)
            file.seek(0)
        if not self.has(digest, n_bytes):
            return ""
        try:
            yield from self.verify(digest)
        except (DigestMismatch, StoreError) as error:
            logger.warning("blob replaced %s", pairs(digest=digest, reason=error.message))
            return ""
        return digest

    def copy(self, source: BinaryIO, n_bytes: int) -> Generator[Progress, None, Partial]:
        """Copy ``source`` into a new ``Partial``, which the caller commits or discards.

        Where the file system can, the copy shares its bytes with ``source`` until one of the two
        changes, and takes no room.

        Args:
            source: Read from its beginning to its end.
            n_bytes: How long it is.

        Raises:
            DiskFull: It does not fit; nothing is left behind.
            StoreError: It cannot be read or written.
            BadModelFile: It turned out to have another length.
        """
        with explained("cannot copy the model", folder=self.folder.parent, n_bytes=n_bytes):
            partial = Partial(self.partial)
            try:
                if partial.share(source):
                    yield from _told(partial.read_back(), n_bytes)
                else:
                    if n_bytes > n_free_bytes(self.folder):
                        raise disk_full("cannot copy the model", self.folder.parent, n_bytes)
                    yield from _told(_pour(source, partial), n_bytes)
                partial.sync()
            except BaseException:
                partial.discard()
                raise
        return partial

    def commit(self, partial: Written) -> str:
        """Give ``partial`` the name of its digest, and return that; under the store's lock."""
        digest = partial.digest
        with explained("cannot keep the copied model", folder=self.folder.parent):
            try:
                partial.move_to(self.path(digest))  # over one that is there: it may be damaged
            except PermissionError:
                if not self.has(digest, partial.n_bytes):
                    raise
                partial.discard()  # Windows: a worker has the one that is there in use
        return digest

    def verify(self, digest: str) -> Iterator[Progress]:
        """Read the blob again and compare; yields progress.

        Raises:
            DigestMismatch: Its bytes are not those of its name.
            StoreError: It cannot be read.
        """
        path = self.path(digest)
        with explained(f"cannot read {path.name}"), path.open("rb") as file:
            found = yield from hash_file(file, path.stat().st_size, digest=digest)
        if found != digest:
            raise DigestMismatch(
                f"{path.name} is damaged: its bytes have the digest {found}",
                hint="remove the model and download it again",
            )

    def delete(self, digest: str) -> int:
        """Remove the blob and return its size; 0 if it was not there, or is in use on Windows."""
        path = self.path(digest)
        try:
            n_bytes = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        except PermissionError as error:  # Windows: a worker has it mapped; prune comes back to it
            logger.warning("blob not removed %s", pairs(path=path, reason=error.strerror))
            return 0
        return n_bytes

    def prune_partial(self) -> int:
        """Remove copies that nobody is writing any more, and return their bytes."""
        n_bytes = 0
        for path in self.partial.glob(f"{_PREFIX}*") if self.partial.is_dir() else ():
            try:
                fd = open_fd(path, os.O_RDWR)
            except OSError:
                continue
            try:
                if try_lock(fd):
                    size = os.fstat(fd).st_size
                    if os.name == "nt":  # its lock would keep us from removing it
                        os.close(fd)
                        fd = -1
                    path.unlink(missing_ok=True)
                    n_bytes += size
            except OSError as error:
                logger.warning("copy not removed %s", pairs(path=path, reason=error.strerror))
            finally:
                if fd >= 0:
                    os.close(fd)
        return n_bytes


def hash_file(file: BinaryIO, n_bytes: int, *, digest: str = "") -> Generator[Progress, None, str]:
    """Read ``file`` to its end and return its digest; yields progress about ``digest``."""
    hasher = hashlib.sha256()
    n_done = 0
    for chunk in _chunks(file):
        hasher.update(chunk)
        n_done += len(chunk)
        yield Progress("verifying", n_done, max(n_bytes, n_done), digest)
    return f"sha256:{hasher.hexdigest()}"


def _pour(source: BinaryIO, partial: Partial) -> Iterator[int]:
    for chunk in _chunks(source):
        partial.write(chunk)
        yield partial.n_bytes


def _told(counts: Iterator[int], n_bytes: int) -> Iterator[Progress]:
    """Tell the bytes that were copied so far; there must be ``n_bytes`` in the end."""
    yield Progress("copying", 0, n_bytes)
    n_done = 0
    for n_done in counts:
        if n_done > n_bytes:
            break
        yield Progress("copying", n_done, n_bytes)
    if n_done != n_bytes:
        more = "more" if n_done > n_bytes else f"{n_done}"
        raise BadModelFile(
            f"the file changed while it was copied: it had {n_bytes} bytes, then {more}",
            hint="wait until the program that writes it is done",
        )


def _chunks(file: BinaryIO) -> Iterator[memoryview]:
    """Yield the rest of ``file``; each view is valid until the next."""
    buffer = bytearray(CHUNK_BYTES)
    view = memoryview(buffer)
    readinto = getattr(file, "readinto", None)
    while n := (readinto(buffer) if readinto else _read_into(file, buffer)):
        yield view[:n]


def _read_into(file: BinaryIO, buffer: bytearray) -> int:
    chunk = file.read(len(buffer))
    buffer[: len(chunk)] = chunk
    return len(chunk)

"""One writer at a time, across threads and processes.

The operating system's lock on an open file ends with its process, however that ends, so a lock file
that a dead process left behind is no lock.  What is written in the file only tells people who
holds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from runner.errors import StoreBusy
from runner.store.disk import explained, make_folder, open_fd, plain

#: Writers hold the lock for a rename and a small file; who waits longer than this is told so.
WAIT_S = 10.0
_POLL_S = 0.02
#: Windows keeps others from reading a locked byte, so the one locked lies behind all text.
_LOCKED_BYTE = 1 << 30

if sys.platform == "win32":
    import msvcrt

    def try_lock(fd: int) -> bool:
        """Lock the open file for this descriptor alone; ``False`` when another has it."""
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(fd, 0, os.SEEK_SET)
        return True

    def unlock(fd: int) -> None:
        """Give up what ``try_lock`` got."""
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def try_lock(fd: int) -> bool:
        """Lock the open file for this descriptor alone; ``False`` when another has it."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(fd: int) -> None:
        """Give up what ``try_lock`` got."""
        fcntl.flock(fd, fcntl.LOCK_UN)


class StoreLock:
    """The right to change manifests, and to add or remove blobs."""

    def __init__(self, path: Path, *, wait_s: float = WAIT_S) -> None:
        self.path = path
        self._wait_s = wait_s

    @contextlib.contextmanager
    def hold(self, purpose: str) -> Iterator[None]:
        """Hold the lock for a block; blocks the thread while another holds it.

        Args:
            purpose: What for, as the one who waits in vain is told: ``delete smollm2:latest``.

        Raises:
            StoreBusy: Another held it all the time.
            StoreError: The lock file cannot be opened.
        """
        with explained(f"cannot lock {plain(self.path)}"):
            make_folder(self.path.parent)
            fd = open_fd(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._wait(fd)
            self._sign(fd, purpose)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    os.ftruncate(fd, 0)
                unlock(fd)
        finally:
            os.close(fd)

    def _wait(self, fd: int) -> None:
        deadline = time.monotonic() + self._wait_s
        while not try_lock(fd):
            if time.monotonic() >= deadline:
                raise StoreBusy(
                    f"the library is being changed by {self._holder()};"
                    f" waited {self._wait_s:g} seconds",
                    hint="try again in a moment",
                )
            time.sleep(_POLL_S)

    def _sign(self, fd: int, purpose: str) -> None:
        text = json.dumps({"pid": os.getpid(), "purpose": purpose})
        with contextlib.suppress(OSError):  # a full disk: the lock holds without a name, too
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
            os.write(fd, text.encode())

    def _holder(self) -> str:
        try:
            holder = json.loads(self.path.read_text(encoding="utf-8"))
            return f"process {holder['pid']} ({holder['purpose']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

"""One daemon a home, and where to find it.

``daemon.lock`` is held locked by the running daemon; the system lets go of it when the process
ends, however it ends, so a lock file left behind by a dead daemon locks nothing.
``daemon.json`` says where the daemon is and holds the owner's token (mode 0600).  ``room`` beside
it holds nothing: it is given up where the disk is full, so that a daemon starts which can remove
a model.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from runner.errors import AlreadyRunning, StoreBusy
from runner.paths import Paths
from runner.store.lock import StoreLock

#: Bytes of ``room``, and how many are given up at a time: some blocks of any file system.
_ROOM_BYTES, _GIVEN_UP = 64 << 10, 16 << 10


@dataclass(frozen=True, slots=True)
class DaemonRecord:
    """What ``daemon.json`` holds; ``address`` is ``host:port``."""

    pid: int
    address: str
    version: str
    token: str


@contextlib.contextmanager
def only_daemon(paths: Paths) -> Iterator[None]:
    """Be the one daemon of this home for a block.

    Raises:
        AlreadyRunning: Another process is.
    """
    try:
        with StoreLock(paths.lock_file, wait_s=0).hold("corral serve"):
            yield
    except StoreBusy:
        record = read_record(paths.daemon_file)
        where = f" (pid {record.pid}, at {record.address})" if record else ""
        raise AlreadyRunning(
            f"a Corral daemon already runs for this home{where}",
            hint="use it as it is, or end it first with: corral daemon stop",
        ) from None


def write_record(path: Path, record: DaemonRecord) -> None:
    """Write ``daemon.json`` at once, readable by its owner only; on a full disk, too."""
    text = json.dumps({"format": 1, **asdict(record)})
    room = path.with_name("room")
    try:
        _write(path, text)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        with contextlib.suppress(FileNotFoundError):
            os.truncate(room, max(0, room.stat().st_size - _GIVEN_UP))
        _write(path, text)
    _keep(room)


def _write(path: Path, text: str) -> None:
    scratch = path.with_suffix(f".{os.getpid()}")
    try:
        fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def _keep(room: Path) -> None:
    """Have room for the next records, as far as there is any to have."""
    with contextlib.suppress(OSError), room.open("ab", buffering=0) as file:
        # Zeros may be kept as nothing at all.
        file.write(os.urandom(max(0, _ROOM_BYTES - room.stat().st_size)))


def read_record(path: Path) -> DaemonRecord | None:
    """Return what a running daemon wrote; ``None`` when there is nothing of use."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return DaemonRecord(
            int(raw["pid"]), str(raw["address"]), str(raw["version"]), str(raw["token"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None

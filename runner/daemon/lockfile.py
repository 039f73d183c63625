"""One daemon a home, and where to find it.

``daemon.lock`` is held locked by the running daemon; the system lets go of it when the process
ends, however it ends, so a lock file left behind by a dead daemon locks nothing.
``daemon.json`` says where the daemon is and holds the owner's token (mode 0600).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from runner.errors import AlreadyRunning, StoreBusy
from runner.paths import Paths
from runner.store.lock import StoreLock


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
    """Write ``daemon.json`` at once, readable by its owner only."""
    scratch = path.with_suffix(f".{os.getpid()}")
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump({"format": 1, **asdict(record)}, file)
    scratch.replace(path)


def read_record(path: Path) -> DaemonRecord | None:
    """Return what a running daemon wrote; ``None`` when there is nothing of use."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return DaemonRecord(
            int(raw["pid"]), str(raw["address"]), str(raw["version"]), str(raw["token"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None

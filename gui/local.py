"""How full the models' disk is, free ports, the daemon's log: what the app sees on its own machine.

Only when the daemon runs on this machine; blocking, so called on the link's threads.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gui.words import tr
from runner.errors import DaemonError

LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of the disk that a folder is on."""

    n_bytes: int
    n_free: int


def disk_of(folder: Path) -> Disk | None:
    """Return the disk of ``folder``, or of what will be its parent; ``None`` when not known."""
    for place in (folder, *folder.parents):
        try:
            usage = shutil.disk_usage(place)
        except OSError:
            continue
        return Disk(usage.total, usage.free)
    return None


def free_port(host: str, after: int) -> int:
    """Return the next port of ``host`` on which nothing listens.

    Raises:
        DaemonError: None of the next hundred is free.
    """
    for port in range(after + 1, min(after + 100, 65_535) + 1):
        try:
            with socket.create_server((host, port)):
                return port
        except OSError:
            continue
    raise DaemonError(tr("No port is free after {port}.", port=after))


def levelled(lines: Iterable[str], least: str) -> list[str]:
    """Return the log lines of a level or above; lines that go on belong to the one before.

    Args:
        lines: As the daemon writes them: time, level, and what happened.
        least: One of ``LEVELS``.
    """
    floor, is_shown = LEVELS.index(least), False
    kept: list[str] = []
    for line in lines:
        found = level_of(line)
        if found:
            is_shown = LEVELS.index(found) >= floor
        if is_shown or floor == 0:
            kept.append(line)
    return kept


def level_of(line: str) -> str:
    """Return the level of a log line, its second word; empty when it has none."""
    words = line.split(" ", 2)
    level = words[1].lower() if len(words) > 2 else ""
    level = {"warn": "warning", "critical": "error"}.get(level, level)
    return level if level in LEVELS else ""

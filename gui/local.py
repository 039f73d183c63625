"""How full the models' disk is, and the daemon's log: what the app reads on its own machine.

Only when the daemon runs on this machine; blocking, so called on the link's threads.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runner.config import load_settings
from runner.errors import CorralError
from runner.paths import Paths

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


def models_folder(paths: Paths) -> Path:
    """Return where the models of this machine are kept: as the settings say, or else as usual."""
    with contextlib.suppress(CorralError):  # the daemon tells what is wrong with them
        return paths.with_models(load_settings(paths.config_file).models).models
    return paths.models


def place_for_models(folder: Path) -> Path:
    """Return where in a chosen folder models are kept: in it, if it is empty or has some already.

    In one that holds anything else, such as a disk's first folder, it is a new one inside of it.
    """
    try:
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    except OSError:
        return folder  # the daemon says what is wrong with it
    is_theirs = not names or {"lock", "blobs"} <= names
    return folder if is_theirs else folder / "corral-models"


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

"""What the times of files tell on one disk: tried on the disk itself, whose name would not say.

On most file systems each change shows.  FAT under Windows, and some drivers of exFAT, keep the time
that a folder was made, or leave it alone when a file is renamed into it.  Windows and these drivers
have no time of a file but the one that anybody may set back, and some network drives have none at
all.  What does not show is looked at each time (``tree.py``, ``index.py``).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runner.store.tree import stamp_of

#: Of the name of a folder in which the disk is tried.
PREFIX = "probe-"
_LONG_AGO = 1_000_000_000  # seconds since the epoch; every file system has that year
#: So many milliseconds are longer than a tick of the clock that stamps files where that is fine.
_TICK_MS = 25


@dataclass(frozen=True, slots=True)
class Tells:
    """What shows in the times of this disk.

    Attributes:
        folders: That something in a folder comes, goes or gets another name.
        files: That a file is written, even when its time is set back afterwards.
    """

    folders: bool
    files: bool


def try_times(scratch: Path) -> Tells:
    """Return what shows on the disk of ``scratch``, a folder that is made if it must be.

    Takes a fortieth of a second where little does.  Where nobody may write, folders count as
    silent; files do not, since others write them by the same rules as nearly everywhere.
    """
    try:
        scratch.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=scratch, prefix=PREFIX) as name:
            return Tells(_of_folders(Path(name)), _of_files(Path(name)))
    except OSError:
        return Tells(folders=False, files=True)


def _of_folders(here: Path) -> bool:
    folder, outside = here / "folder", here / "outside"
    inside, other = folder / "one", folder / "other"
    folder.mkdir()
    changes: tuple[Callable[[], object], ...] = (
        inside.touch,
        lambda: inside.rename(other),
        lambda: other.rename(outside),
        lambda: outside.rename(inside),
        inside.unlink,
        inside.mkdir,
        lambda: inside.rename(other),
        other.rmdir,
    )

    def shows(change: Callable[[], object]) -> bool:
        os.utime(folder, (_LONG_AGO, _LONG_AGO))
        before = folder.stat().st_mtime_ns
        change()
        return folder.stat().st_mtime_ns != before

    return all(shows(change) for change in changes)


def _of_files(here: Path) -> bool:
    file = here / "file"

    def write() -> None:
        with file.open("ab") as out:
            out.truncate(0)
            out.write(b"1")
        os.utime(file, (_LONG_AGO, _LONG_AGO))

    write()
    before = stamp_of(file.stat())
    for _ in range(_TICK_MS):
        time.sleep(0.001)
        write()
        if stamp_of(file.stat()) != before:
            return True
    return False

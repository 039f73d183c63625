"""What lies in a folder, read again only when the folder has changed: for lists of thousands.

A folder's times change when a file in it appears, goes or is replaced, which is all that happens to
manifests and blobs; where the disk does not keep to that, folders are read each time.  What a file
holds, its own times tell.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Mapping

import msgspec

#: What changed so lately could change once more within one tick of the disk's clock, whose
#: coarsest ticks are FAT's, of two seconds.
_SETTLED_NS = 2_000_000_000

#: What tells whether a file or folder is the very same: times of content and change, inode, size.
Stamp = tuple[int, int, int, int]


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what changes with every change; only in one tick of the disk's clock it may not."""
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)


def is_settled(stamp: Stamp, now_ns: int) -> bool:
    """Whether what was read at ``now_ns``, or later, cannot change without another stamp."""
    return now_ns - stamp[0] > _SETTLED_NS and now_ns - stamp[1] > _SETTLED_NS


class Seen(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What lay in a folder, and its stamp then: the paths of files and of folders."""

    stamp: Stamp
    files: tuple[str, ...]
    folders: tuple[str, ...]


_NOTHING = Seen((0, 0, 0, 0), (), ())


def always() -> bool:
    """Say that this disk tells of every change by a folder's time."""
    return True


class Tree:
    """Reads folders.  Safe from any thread: what is kept is replaced whole.

    Args:
        now_ns: The clock that says what has settled.
        is_told: Whether this disk tells of changes by a folder's time; asked when it matters.
    """

    def __init__(
        self, now_ns: Callable[[], int] = time.time_ns, is_told: Callable[[], bool] = always
    ) -> None:
        self._now_ns = now_ns
        self._is_told = is_told
        self._seen: dict[str, Seen] = {}

    @property
    def seen(self) -> Mapping[str, Seen]:
        """The folders that are not read again while their stamps hold."""
        return self._seen

    def believe(self, seen: Mapping[str, Seen]) -> None:
        """Take over what another process saw, once it had settled."""
        self._seen.update(seen)

    def walk(self, folder: str, depth: int) -> list[str]:
        """Return the path of every file ``depth`` folders below, but for hidden ones.

        What is kept of any other folder is forgotten.  A folder that is not there is empty; may
        raise any other ``OSError``.
        """
        found: list[str] = []
        folders = [folder]
        visited = [folder]
        now_ns = self._now_ns()
        for _ in range(depth):
            folders = [below for here in folders for below in self._read(here, now_ns).folders]
            visited += folders
        for here in folders:
            found += self._read(here, now_ns).files
        if len(self._seen) > len(visited):
            for gone in self._seen.keys() - set(visited):
                self._seen.pop(gone, None)
        return found

    def _read(self, folder: str, now_ns: int) -> Seen:
        try:
            stamp = stamp_of(os.stat(folder))  # noqa: PTH116 - a Path costs more than the call
            seen = self._seen.get(folder)
            if seen is not None and seen.stamp == stamp:
                return seen
            seen = _scan(folder, stamp)
        except (FileNotFoundError, NotADirectoryError):
            self._seen.pop(folder, None)
            return _NOTHING
        if is_settled(stamp, now_ns) and self._is_told():
            self._seen[folder] = seen
        return seen


class Sizes:
    """How large the files of one folder are.  Safe from any thread.

    Args:
        folder: Whose.
        now_ns: The clock that says what has settled.
        is_told: As ``Tree`` has it.
    """

    def __init__(
        self,
        folder: str,
        now_ns: Callable[[], int] = time.time_ns,
        is_told: Callable[[], bool] = always,
    ) -> None:
        self._folder = folder
        self._now_ns = now_ns
        self._is_told = is_told
        self._last: tuple[Stamp, dict[str, int]] | None = None

    def read(self) -> Mapping[str, int]:
        """Return the size of each file by its name, as it was when it was first seen.

        It is the very same mapping while no file came or went.  A folder that is not there is
        empty; may raise any other ``OSError``.
        """
        try:
            now_ns = self._now_ns()
            stamp = stamp_of(os.stat(self._folder))  # noqa: PTH116 - as above
            if (last := self._last) is not None and last[0] == stamp:
                return last[1]
            sizes = _sizes(self._folder)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        if is_settled(stamp, now_ns) and self._is_told():
            self._last = stamp, sizes
        return sizes


def _scan(folder: str, stamp: Stamp) -> Seen:
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):  # the desktop's own: .DS_Store
                continue
            if entry.is_dir():
                folders.append(entry.path)
            elif entry.is_file():
                files.append(entry.path)
    return Seen(stamp, tuple(files), tuple(folders))


def _sizes(folder: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat()
            except OSError:  # it went while we looked, or leads nowhere
                continue
            if stat.S_ISREG(status.st_mode):
                sizes[entry.name] = status.st_size
    return sizes

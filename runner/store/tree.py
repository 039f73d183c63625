"""What lies in a folder, read again only when the folder has changed: for lists of thousands.

A folder's time changes when a file in it appears, goes or is replaced, which is all that happens to
manifests and blobs.  What a file holds, its own time tells.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

#: A folder that changed so lately could change once more within one tick of the disk's clock.
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class _Seen:
    """What lay in a folder, and its time then."""

    mtime_ns: int
    files: dict[str, int]
    folders: tuple[str, ...]


class Tree:
    """Reads folders.  Safe from any thread: what is kept is replaced whole."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def files(self, folder: str) -> dict[str, int]:
        """Return the path of each file right in ``folder``, and its size when it was first seen.

        Hidden ones are left out.  May raise ``OSError``; a folder that is not there is empty.
        """
        return self._read(folder).files

    def walk(self, folder: str, depth: int) -> Iterator[str]:
        """Yield the path of every file ``depth`` folders below; raises like ``files``."""
        pending = [(folder, 0)]
        while pending:
            here, level = pending.pop()
            seen = self._read(here)
            if level == depth:
                yield from seen.files
            else:
                pending += [(below, level + 1) for below in seen.folders]

    def _read(self, folder: str) -> _Seen:
        try:
            mtime_ns = os.stat(folder).st_mtime_ns  # noqa: PTH116 - a Path costs more than the call
            seen = self._seen.get(folder)
            if seen is not None and seen.mtime_ns == mtime_ns:
                return seen
            seen = _scan(folder, mtime_ns)
        except (FileNotFoundError, NotADirectoryError):
            self._seen.pop(folder, None)
            return _Seen(0, {}, ())
        if time.time_ns() - mtime_ns > _SETTLED_NS:
            self._seen[folder] = seen
        return seen


def _scan(folder: str, mtime_ns: int) -> _Seen:
    files: dict[str, int] = {}
    folders: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):  # the desktop's own: .DS_Store
                continue
            try:
                if entry.is_dir():
                    folders.append(entry.path)
                elif entry.is_file():
                    files[entry.path] = entry.stat().st_size
            except FileNotFoundError:  # it went while we looked
                continue
    return _Seen(mtime_ns, files, tuple(folders))

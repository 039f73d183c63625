"""The folder of all kept prompts: listing, clearing, and who goes when it is full.

    <root>/<model and settings>/<owner>/<how it begins>-<all of it>.kv

Last use is the file's time of change, so that every process sees it and none keeps a book.
Files come and go under our hands; one that is gone is no error.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.kv.entry import PART_PREFIX, SUFFIX, BadEntry, read_facts
from runner.kv.key import model_prefix, owner_name

#: What must stay free on the disk, in bytes, or as a share of it where that is less.
_LEAST_FREE = 2 << 30
_LEAST_FREE_SHARE = 20


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of the shelf: its size in bytes, and its last use in seconds since the epoch."""

    path: Path
    n_bytes: int
    used_s: float


@dataclass(frozen=True, slots=True)
class KeptPrompt:
    """A file and what it says of itself."""

    file: Kept
    model: str
    owner_id: str
    n_tokens: int
    created_s: float


class Shelf:
    """All kept prompts of one installation; safe from any thread and process."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, folder_name: str, owner_id: str) -> Path:
        """Return where an owner's entries of one key are; the folder may not exist."""
        return self.root / folder_name / owner_name(owner_id)

    def files(self, *, model: str | None = None, owner_id: str | None = None) -> list[Kept]:
        """Return the entries, in no order; of one model, of one owner, or all."""
        prefix = "" if model is None else model_prefix(model)
        owner = None if owner_id is None else owner_name(owner_id)
        found: list[Kept] = []
        for keyed in _folders(self.root):
            if not keyed.name.startswith(prefix):
                continue
            for owned in _folders(Path(keyed.path)):
                if owner is None or owned.name == owner:
                    found += _kept(Path(owned.path))
        return found

    def prompts(self) -> list[KeptPrompt]:
        """Return what the entries say of themselves, last used first; others are left out."""
        told: list[KeptPrompt] = []
        for file in sorted(self.files(), key=lambda file: -file.used_s):
            with contextlib.suppress(OSError, BadEntry):
                header, n_tokens = read_facts(file.path)
                told.append(
                    KeptPrompt(file, header.model, header.owner_id, n_tokens, header.created_s)
                )
        return told

    def clear(
        self,
        *,
        model: str | None = None,
        owner_id: str | None = None,
        conversation_id: str | None = None,
    ) -> tuple[int, int]:
        """Remove entries of one model, owner or conversation, or all; return how many and bytes."""
        n_files = n_bytes = 0
        for file in self.files(model=model, owner_id=owner_id):
            if conversation_id not in (None, _conversation_of(file.path)):
                continue
            if remove(file.path):
                n_files += 1
                n_bytes += file.n_bytes
        self._remove_parts(_is_left)  # they hold prompts, too
        return n_files, n_bytes

    def make_room(self, n_bytes: int, n_bytes_max: int) -> list[Path] | None:
        """Remove the least recently used until ``n_bytes`` more fit.

        Returns:
            What was removed; ``None`` when they do not fit in any case.
        """
        if n_bytes > n_bytes_max:
            return None
        self._remove_parts(_is_left)
        files = self.files()
        n_all = sum(file.n_bytes for file in files)
        removed: list[Path] = []
        for file in sorted(files, key=lambda file: file.used_s):
            if n_all + n_bytes <= n_bytes_max:
                break
            if remove(file.path):
                removed.append(file.path)
                n_all -= file.n_bytes
        return removed

    def disk_is_low(self, n_bytes: int) -> bool:
        """Whether writing ``n_bytes`` would leave too little of the disk free."""
        place = self.root
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            usage = shutil.disk_usage(place)
        except OSError:
            return True
        return usage.free - n_bytes < min(_LEAST_FREE, usage.total // _LEAST_FREE_SHARE)

    def tidy(self) -> None:
        """Remove what writers left; for when none is at work."""
        self._remove_parts(lambda name: True)

    def _remove_parts(self, is_left: Callable[[str], bool]) -> None:
        """Remove files that are not whole, by their names, and folders with nothing in them."""
        for keyed in _folders(self.root):
            for owned in _folders(Path(keyed.path)):
                for file in _listed(Path(owned.path)):
                    if file.name.startswith(PART_PREFIX) and is_left(file.name):
                        remove(Path(file.path))
        self._remove_empty_folders()

    def _remove_empty_folders(self) -> None:
        for keyed in _folders(self.root):
            for folder in (*_folders(Path(keyed.path)), keyed):
                with contextlib.suppress(OSError):  # not empty, or somebody was faster
                    Path(folder.path).rmdir()


def remove(path: Path) -> bool:
    """Remove a file; whether it was there and is gone."""
    try:
        path.unlink()
    except OSError:  # gone already, or held open on Windows
        return False
    return True


def touch(path: Path) -> None:
    """Record that an entry was used now."""
    with contextlib.suppress(OSError):
        os.utime(path)


def _kept(folder: Path) -> Iterator[Kept]:
    for file in _listed(folder):
        if file.name.endswith(SUFFIX):
            with contextlib.suppress(OSError):
                facts = file.stat(follow_symlinks=False)
                yield Kept(Path(file.path), facts.st_size, facts.st_mtime)


def _folders(folder: Path) -> Iterator[os.DirEntry[str]]:
    return (found for found in _scan(folder) if found.is_dir(follow_symlinks=False))


def _listed(folder: Path) -> Iterator[os.DirEntry[str]]:
    return (found for found in _scan(folder) if found.is_file(follow_symlinks=False))


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _is_left(name: str) -> bool:
    """Whether the process that wrote a part is no more: it was killed, and nobody goes on."""
    pid = name.removeprefix(PART_PREFIX).partition("-")[0]
    if pid == str(os.getpid()):
        return False
    import psutil  # here: there is seldom a part to ask about

    return not (pid.isdecimal() and psutil.pid_exists(int(pid)))


def _conversation_of(path: Path) -> str:
    """The conversation that an entry says it is of; empty when it says none, or cannot be read."""
    with contextlib.suppress(OSError, BadEntry):
        return read_facts(path)[0].conversation_id
    return ""

"""What the library can do without: files of no name, downloads of no job, copies of nobody."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection
from pathlib import Path

from runner.domain.storage import Pruned, Removable
from runner.store.arrival import DATA, PREFIX, discard_arrival, is_held, key_stem
from runner.store.library import Library

_DIGEST_STEM = re.compile(r"[0-9a-f]{64}")


def prune(library: Library, *, keep: Collection[str], is_dry: bool) -> Pruned:
    """Remove what nothing needs, or only say what that is; quarantine goes too.

    Never goes what a manifest names, what ``keep`` names, or what somebody is writing.  While a
    manifest is damaged beyond telling which files it names, no blob goes.

    Args:
        library: Whose.
        keep: Keys of downloads that some job wants, digests of models in use.
        is_dry: Nothing is removed.

    Raises:
        StoreBusy: Another process is changing the store.
        StoreError: The library cannot be read.
    """
    if not library.models.is_dir():
        return Pruned((), is_dry)
    with library.changing("prune"):
        used = library.used()
        kept = ""
        files: list[Removable] = []
        if used is None:
            kept = "a manifest is damaged, so nobody can tell which files it uses"
        else:
            files += _blobs(library, used | set(keep), is_dry)
        files += _arrivals(library, keep, is_dry)
        files += _quarantine(library, is_dry)
        if not is_dry:
            library.blobs.prune_partial()
    return Pruned(tuple(files), is_dry, kept)


def _blobs(library: Library, used: Collection[str], is_dry: bool) -> list[Removable]:
    found = []
    for digest, n_bytes in sorted(library.blobs.digests().items()):
        if digest in used:
            continue
        if not is_dry and not library.blobs.delete(digest):
            continue  # in use, on Windows: the next prune comes back to it
        path = library.blobs.path(digest)
        found.append(_told(library, path, n_bytes, "no model uses it"))
    return found


def _arrivals(library: Library, keep: Collection[str], is_dry: bool) -> list[Removable]:
    folder = library.blobs.partial
    wanted = {key_stem(key) for key in keep}
    found = []
    for path in sorted(folder.glob(f"{PREFIX}*{DATA}")) if folder.is_dir() else ():
        stem = path.name.removeprefix(PREFIX).removesuffix(DATA)
        if stem in wanted or is_held(path):
            continue
        n_bytes = _size(path)
        if not is_dry:
            discard_arrival(folder, f"sha256:{stem}" if _DIGEST_STEM.fullmatch(stem) else stem)
            if path.exists():
                continue
        found.append(_told(library, path, n_bytes, "no job wants to go on with it"))
    return found


def _quarantine(library: Library, is_dry: bool) -> list[Removable]:
    folder = library.quarantine
    found = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        n_bytes = _size(path)
        if not is_dry:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue
        found.append(_told(library, path, n_bytes, "it was not what its source promised"))
    return found


def _told(library: Library, path: Path, n_bytes: int, reason: str) -> Removable:
    return Removable(path.relative_to(library.models).as_posix(), n_bytes, reason)


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0

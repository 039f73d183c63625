"""What the library takes of the disk: each name, what names share, and what is no model (yet)."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

from runner.domain.storage import DiskUse, ModelUse
from runner.store.disk import n_free_bytes, plain
from runner.store.library import Library


def disk_use(library: Library) -> DiskUse:
    """Return what the library takes; damaged manifests count as using the files they name.

    Raises:
        StoreError: The library cannot be read.
    """
    entries = library.entries()
    layers = [{layer.digest: layer.n_bytes for layer in one.layers} for one in entries]
    holders = Counter(digest for one in layers for digest in one)
    models = [
        ModelUse(
            entry.info.name,
            sum(one.values()),
            sum(n_bytes for digest, n_bytes in one.items() if holders[digest] > 1),
        )
        for entry, one in zip(entries, layers, strict=True)
    ]
    blobs = library.blobs.digests()
    used = library.used() or set(blobs)
    return DiskUse(
        folder=plain(library.models),
        models=tuple(sorted(models, key=lambda one: (one.n_shared - one.n_bytes, one.name.key))),
        n_model=sum(size for digest, size in blobs.items() if digest in used),
        n_unused=sum(size for digest, size in blobs.items() if digest not in used),
        n_partial=_folder_bytes(library.models / "partial"),
        n_quarantine=_folder_bytes(library.quarantine),
        n_free=n_free_bytes(library.models),
    )


def _folder_bytes(folder: Path) -> int:
    """Bytes that the files in ``folder`` take: of one with holes, what is written of it."""
    n_bytes = 0
    for path in folder.glob("*") if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # it arrived, and moved
            status = path.stat()
            blocks = getattr(status, "st_blocks", None)  # of 512 bytes; Windows has none
            n_bytes += min(status.st_size, blocks * 512) if blocks is not None else status.st_size
    return n_bytes

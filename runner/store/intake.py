"""A file of this machine on its way to be a blob.

It is copied, or shares its bytes where the file system can keep the two apart (``reflink.py``), but
never linked: whoever writes to the file later would change the blob.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from runner.domain.progress import Progress
from runner.store.blobs import Blobs, Partial
from runner.store.disk import explained


def bring(
    blobs: Blobs, path: Path, n_bytes: int, expected: str = ""
) -> Generator[Progress, None, tuple[Partial | None, str]]:
    """Return a copy of ``path`` and its digest; no copy when its bytes are a blob already.

    Raises:
        DiskFull: There is no room for it.
        StoreError: It cannot be read or written.
        BadModelFile: It turned out to have another length.
    """
    with explained(f"cannot read {path}"):
        file = path.open("rb")
    with file:
        digest = yield from blobs.find_same(file, n_bytes, expected)
        if digest:
            return None, digest
        partial = yield from blobs.copy(file, n_bytes)
    return partial, partial.digest

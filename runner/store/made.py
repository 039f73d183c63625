"""A file that another program writes for the store: a place for it, then its digest, then its name.

Like a copy it lies in ``partial/``, locked so that prune leaves it alone, and is gone unless it is
committed.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from runner.domain.progress import Progress
from runner.errors import StoreError
from runner.store.blobs import Blobs, Partial, hash_file
from runner.store.disk import explained


class Made:
    """One such file.  Owned by one thread; gone after ``discard``, or moved by a commit."""

    def __init__(self, blobs: Blobs) -> None:
        """Make the place.

        Raises:
            DiskFull: There is no room even for an empty file.
            StoreError: The folder cannot be written.
        """
        with explained("cannot make a file in the library", folder=blobs.partial):
            self._place = Partial(blobs.partial)
            self._place.open_to_others()
        self.n_bytes = 0
        self._digest = ""

    @property
    def path(self) -> Path:
        """Where to write it; it is there already, and empty."""
        return self._place.path

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` of it all, once ``seal`` has read it."""
        assert self._digest, "sealed before it is named"
        return self._digest

    def seal(self) -> Generator[Progress, None, str]:
        """Read what was written, have it on the disk, and return its digest; yields progress.

        Raises:
            StoreError: It cannot be read, or is empty.
        """
        with explained("cannot read the new file", folder=self.path.parent):
            self._place.sync()
            self.n_bytes = self.path.stat().st_size
            with self.path.open("rb") as file:
                self._digest = yield from hash_file(file, self.n_bytes)
        if not self.n_bytes:
            raise StoreError("the new file is empty", hint="see: corral daemon logs")
        return self._digest

    def move_to(self, path: Path) -> None:
        """Give it its final name; called by ``Blobs.commit``, under the store's lock."""
        self._place.move_to(path)

    def discard(self) -> None:
        """Remove it, unless it has been committed."""
        self._place.discard()

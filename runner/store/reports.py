"""What was measured of a model: JSON files in a folder of their own for each set of weights.

They lie beside the manifests and not in them: names with the same weights share what is known of
these, and a measurement changes no model.  A file of a format that is not known is left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from runner.domain.quality import BenchReport, QualityReport
from runner.errors import StoreError
from runner.logs import pairs
from runner.store.disk import explained, plain, replace_file

logger = logging.getLogger(__name__)

FORMAT = 1
#: Reports kept of one kind; the oldest go.
N_KEPT = 100
_PREFIX = "report-"

R = TypeVar("R", QualityReport, BenchReport)


class Reports(Generic[R]):
    """Reports of one kind.  All methods block; one thread at a time writes.

    Args:
        models: The library's folder.
        kind: Name of the files: ``quality`` or ``bench``.
        of: What a report is.
    """

    def __init__(self, models: Path, kind: str, of: type[R]) -> None:
        self._folder = models / "reports"
        self._scratch = models / "partial"
        self._kind = kind
        self._type: Any = tuple[of, ...]  # type: ignore[valid-type]

    def load(self, key: str) -> tuple[R, ...]:
        """Return what is known of the weights ``key``, the oldest first.

        Args:
            key: ``Manifest.key``.

        Raises:
            StoreError: The file cannot be read, is damaged, or is of a newer Corral.
        """
        path = self._path(key)
        with explained(f"cannot read {plain(path)}"):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                return ()
        try:
            raw = msgspec.json.decode(content)
            number = raw.get("format") if isinstance(raw, dict) else None
            if number != FORMAT:
                raise StoreError(
                    f"{plain(path)} has format {number!r}; this program knows format {FORMAT}",
                    hint="a newer Corral may have written it: update Corral, or move it away",
                )
            found: tuple[R, ...] = msgspec.convert(raw["reports"], self._type)
        except (msgspec.MsgspecError, KeyError, UnicodeDecodeError, RecursionError) as error:
            raise StoreError(f"{plain(path)} is damaged: {error}", hint="move it away") from None
        return found

    def add(self, key: str, report: R) -> None:
        """Keep one more; raises as ``load``, or ``DiskFull``."""
        kept: dict[str, Any] = {"format": FORMAT, "weights": key}
        kept["reports"] = [*self.load(key), report][-N_KEPT:]
        path = self._path(key)
        with explained(f"cannot write {plain(path)}", folder=self._folder):
            content = msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n"
            replace_file(path, content, scratch=self._scratch, prefix=_PREFIX)

    def _path(self, key: str) -> Path:
        return folder_of(self._folder, key) / f"{self._kind}.json"


def folder_of(reports: Path, key: str) -> Path:
    """Return the folder of the weights ``key``, which need not exist."""
    return reports / hashlib.sha256(key.encode()).hexdigest()


def tidy(models: Path, keys: Collection[str]) -> None:
    """Remove the reports of all weights but ``keys``; never a reason to fail."""
    reports = models / "reports"
    known = {folder_of(reports, key).name for key in keys}
    with contextlib.suppress(OSError):
        for folder in reports.iterdir() if reports.is_dir() else ():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)
                logger.info("reports removed %s", pairs(folder=folder.name))

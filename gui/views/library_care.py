"""Looking whether a model's files are whole, and mending them: told in the library's banner."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from gui import figures
from gui.errands import Task
from gui.link import Link
from gui.models.library_table import LibraryRow
from gui.widgets.banner import Banner
from gui.words import tr
from runner.client.client import Client
from runner.client.connection import Stream, decoded
from runner.client.decode_storage import repaired, verified
from runner.domain.progress import Progress
from runner.domain.storage import Repaired, Verified
from runner.errors import CorralError


class LibraryCare(QObject):
    """One look or mending at a time.

    Signals:
        looked: Something was looked at: ``faults`` may be others.

    Attributes:
        faults: What is wrong with models' files, by their names; ``None``: nobody looked yet.
    """

    looked = Signal()

    def __init__(self, link: Link, banner: Banner, parent: QObject) -> None:
        super().__init__(parent)
        self._link = link
        self._banner = banner
        self._task: Task | None = None
        self.faults: dict[str, str] | None = None

    def scan(self) -> None:
        """Look at the sizes and headers of all files: quick, and nothing is told in words."""
        streams: list[Stream[Progress]] = []

        def begin(client: Client) -> Stream[Progress]:
            streams.append(client.verify())
            return streams[0]

        def done() -> None:
            with contextlib.suppress(CorralError):
                found = decoded(verified, streams[0].last)
                self.faults = {fault.model: fault.reason for fault in found.faults}
                self.looked.emit()

        self._link.stream(begin, lambda _: None, done, lambda _: None)

    def verify(self, row: LibraryRow) -> None:
        """Read every byte of a model and compare it with what it should be."""
        name = row.name
        self._run(
            lambda client: client.verify(name, deep=True),
            lambda moment: tr("Checking {name}: {done}", name=name, done=_done(moment)),
            lambda value: self._verified(row, decoded(verified, value)),
            tr("{name} cannot be checked", name=name),
        )

    def repair(self, row: LibraryRow) -> None:
        """Fetch again what is damaged."""
        name = row.name
        self._run(
            lambda client: client.repair(name),
            lambda moment: tr("Mending {name}: {done}", name=name, done=_done(moment)),
            lambda value: self._repaired(decoded(repaired, value)),
            tr("{name} cannot be mended", name=name),
        )

    def _run(
        self,
        begin: Callable[[Client], Stream[Progress]],
        moving: Callable[[Progress], str],
        ended: Callable[[dict[str, object]], None],
        title: str,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
        streams: list[Stream[Progress]] = []

        def open_stream(client: Client) -> Stream[Progress]:
            streams.append(begin(client))
            return streams[0]

        def failed(error: CorralError) -> None:
            self._banner.show_error(title, error)

        def done() -> None:
            try:
                ended(streams[0].last)
            except CorralError as error:
                failed(error)

        self._task = self._link.stream(
            open_stream,
            lambda moments: self._banner.show_note(moving(moments[-1])),
            done,
            failed,
        )

    def _verified(self, row: LibraryRow, found: Verified) -> None:
        self._keep(row.name, found.faults[0].reason if found.faults else "")
        if not found.faults:
            size = figures.size(found.n_bytes)
            told = tr("{name} is whole: {size} compared.", name=row.name, size=size)
            self._banner.show_note(told)
            return
        first = found.faults[0]
        told = tr("{name} is damaged: {why}", name=row.name, why=first.reason)
        self._banner.show_warning(told, (tr("Mend it"), lambda: self.repair(row)))

    def _keep(self, name: str, fault: str) -> None:
        self.faults = {**(self.faults or {}), name: fault}
        self.looked.emit()

    def _repaired(self, what: Repaired) -> None:
        self._keep(str(what.model), "")
        size = figures.size(what.n_fetched)
        self._banner.show_note(
            tr("{name} is whole again: {size} fetched.", name=what.model, size=size)
        )


def _done(moment: Progress) -> str:
    if not moment.n_bytes:
        return moment.phase
    return f"{moment.n_done * 100 // moment.n_bytes} %"

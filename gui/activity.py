"""What goes on beyond the page in sight: models being loaded, downloads, and news to tell.

Pages report, the tray shows.  A key is whatever names the work: a model's name, a chat's id.
"""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QObject, Signal


class Activity(QObject):
    """There is one; used on the GUI's thread.

    Signals:
        changed: Something began, proceeded or ended.
        announced: A title and a text that the user may want to know of while looking elsewhere.
    """

    changed = Signal()
    announced = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self._loads: set[object] = set()
        self._told_loads: frozenset[str] = frozenset()
        self._downloads: dict[object, int] = {}
        self._jobs: dict[int, int] = {}

    @property
    def is_loading(self) -> bool:
        """Whether an answer waits for its model, or a model comes for another program."""
        return bool(self._loads or self._told_loads)

    @property
    def download_percent(self) -> int | None:
        """How far the downloads are, all together; ``None``: there are none."""
        shares = [*self._downloads.values(), *self._jobs.values()]
        return sum(shares) // len(shares) if shares else None

    def set_loading(self, key: object, is_loading: bool) -> None:
        """Say that a model is being loaded for ``key``, or no longer."""
        if is_loading != (key in self._loads):
            (self._loads.add if is_loading else self._loads.discard)(key)
            self.changed.emit()

    def set_loads(self, names: frozenset[str]) -> None:
        """Say which models are on their way, as the daemon tells."""
        if names != self._told_loads:
            self._told_loads = names
            self.changed.emit()

    def set_download(self, key: object, percent: int | None) -> None:
        """Say how far a download is; ``None``: it has ended."""
        if self._downloads.get(key) == percent:
            return
        if percent is None:
            self._downloads.pop(key)
        else:
            self._downloads[key] = percent
        self.changed.emit()

    def set_downloads(self, percents: Mapping[int, int]) -> None:
        """Say how far the daemon's jobs are, by their ids; one that is missing has ended."""
        if self._jobs != percents:
            self._jobs = dict(percents)
            self.changed.emit()

    def announce(self, title: str, text: str) -> None:
        """Tell news."""
        self.announced.emit(title, text)


ACTIVITY = Activity()

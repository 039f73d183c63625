"""An accelerator's memory over time: its name, what is used, and the plot."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QLabel, QSizePolicy, QVBoxLayout

from gui import figures
from gui.machine import History, Sample
from gui.theme import L, M, S
from gui.widgets.plot import MemoryPlot
from gui.widgets.spoken import Spoken
from gui.words import tr
from runner.domain.machine import Device


class DevicePlot(QFrame, Spoken):
    """One device; ``add`` what the daemon tells of it, again and again."""

    def __init__(self, name: str) -> None:
        QFrame.__init__(self)
        Spoken.__init__(self)
        self.setObjectName("card")
        self.history = History()
        self.plot = MemoryPlot(self.history)
        self.used, heading = QLabel(), QLabel(name)
        heading.setProperty("role", "heading")
        heading.setWordWrap(True)
        heading.setTextFormat(Qt.TextFormat.PlainText)  # a driver's own words are not markup
        self.used.setProperty("role", "muted")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        column = QVBoxLayout(self)
        column.setContentsMargins(L, M, L, L)
        column.setSpacing(S)
        column.addWidget(heading)
        column.addWidget(self.used)
        column.addWidget(self.plot, 1)
        self._device: Device | None = None
        self.say(self.plot.setAccessibleName, lambda: tr("Memory of {name} over time", name=name))

    def add(self, at_s: float, device: Device) -> None:
        """Take what the device is now; ``at_s`` on any clock that runs evenly."""
        self._device = device
        n_used = max(0, device.n_memory - device.n_available)
        # What of it is the models' own is not told.
        self.history.add(Sample(at_s, n_used, 0))
        self._write(device)

    def say_again(self) -> None:
        super().say_again()
        if self._device is not None:
            self._write(self._device)

    def _write(self, device: Device) -> None:
        size, free = figures.size(device.n_memory), figures.size(device.n_available)
        self.used.setText(tr("{free} free of {size}", free=free, size=size))
        self.plot.show_latest(device.n_memory)
        self.plot.setAccessibleDescription(self.used.text())

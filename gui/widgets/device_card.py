"""The devices that models run on, and the limits in force, as the daemon tells them."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui import figures
from gui.models.device_table import device_table, notes
from gui.models.setting_fields import TOPICS
from gui.models.table import Sorted
from gui.theme import S
from gui.widgets.grid import Grid
from gui.widgets.spoken import Spoken
from gui.words import sentence, tr
from runner.domain.machine import MachineReport
from runner.errors import CorralError


class DeviceCard(QWidget, Spoken):
    """Shows the last report; ``change`` leads to where limits are changed."""

    def __init__(self, change: Callable[[], object]) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self._report: MachineReport | None = None
        self.table = device_table()
        self.grid = Grid(Sorted(self.table, self), widths=(260, 160, 170, 100, 100))
        self.grid.sortByColumn(1, Qt.SortOrder.AscendingOrder)
        self.grid.setMinimumHeight(96)
        self.limits, self.unused, self.faults, heading = (QLabel() for _ in range(4))
        heading.setProperty("role", "heading")
        for label, role in ((self.limits, "muted"), (self.unused, "muted"), (self.faults, "warn")):
            label.setProperty("role", role)
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)  # a driver's own words are not markup
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.unused.hide()
        self.faults.hide()
        button = QPushButton()
        button.clicked.connect(lambda _=False: change())
        self.say(heading.setText, lambda: tr("Devices and limits"))
        self.say(button.setText, lambda: tr("Change…"))
        self.say(button.setAccessibleName, lambda: tr("Change the limits"))
        self.say(self.grid.setAccessibleName, lambda: tr("Devices"))
        head = QHBoxLayout()
        head.setSpacing(S)
        head.addWidget(heading, 1)
        head.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(S)
        column.addLayout(head)
        for widget in (self.grid, self.faults, self.limits, self.unused):
            column.addWidget(widget)

    def show_report(self, report: MachineReport) -> None:
        """Show what the daemon told."""
        self._report = report
        self.table.set_rows(report.devices)
        told = notes(report.devices)
        self.faults.setText("\n".join(told))
        self.faults.setVisible(bool(told))
        self.limits.setText(limits_text(report))
        self.unused.setText(unused_text(report))
        self.unused.setVisible(bool(report.unused_cards))

    def show_error(self, error: CorralError) -> None:
        """Say why nothing is known of them."""
        self.limits.setText(f"{sentence(error)} [{error.code}]")

    def say_again(self) -> None:
        super().say_again()
        if self._report is not None:
            self.show_report(self._report)


def unused_text(report: MachineReport) -> str:
    """Return what could compute and does not, a line each, with what changes that."""
    return "\n".join(
        tr(
            "A graphics card of {vendor} is not used. Install {needs}, then: {command}",
            vendor=card.vendor,
            needs=card.needs,
            command=card.command,
        )
        for card in report.unused_cards
    )


def limits_text(report: MachineReport) -> str:
    """Return the limits and the daemon's own figures in a line."""
    names = {field.name: field.label for fields in TOPICS.values() for field in fields}
    parts = [
        f"{tr(names[name])}: {figures.grouped(value)}"
        for name, value in report.limits
        if name in names
    ]
    parts.append(tr("Loaded {n} times, {m} had to go", n=report.n_loads, m=report.n_evictions))
    if report.n_daemon:
        parts.append(tr("The daemon itself: {size}", size=figures.size(report.n_daemon)))
    return "  ·  ".join(parts)

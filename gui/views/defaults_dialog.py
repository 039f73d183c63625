"""How a model answers unless a chat or a program says otherwise: its system prompt and options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui.errands import Task
from gui.link import Link
from gui.theme import XL, M, S
from gui.widgets.parameters import Parameters
from gui.widgets.room import take_room
from gui.words import sentence, tr
from runner.domain.progress import Progress
from runner.errors import CorralError


class DefaultsDialog(QDialog):
    """Begins with what a model has; the daemon keeps it under the same name.

    Signals:
        made: The model with this name has other defaults.
    """

    made = Signal(str)

    def __init__(
        self, parent: QWidget, link: Link, name: str, system: str, options: Mapping[str, Any]
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("Defaults of {name}", name=name))
        take_room(self, 460, 640)
        self._link, self._name = link, name
        self._making: Task | None = None
        self._system, self._options, self._before = system, dict(options), set(options)
        self.panel = Parameters()
        self.panel.setMaximumWidth(16_777_215)  # Qt's own bound: here it has all the room
        self.panel.fill(system, options)
        self.panel.changed.connect(self._took)
        self.state = QLabel()
        self.state.setWordWrap(True)
        self.state.setTextFormat(Qt.TextFormat.PlainText)
        self.act, self.leave = QPushButton(tr("Save the model")), QPushButton(tr("Cancel"))
        self.act.setProperty("role", "primary")
        self.act.clicked.connect(lambda _=False: self.save())
        self.leave.clicked.connect(lambda _=False: self.reject())
        words = QLabel(
            tr(
                "For every chat and program that does not say otherwise."
                " An empty field leaves it to the program."
            )
        )
        words.setProperty("role", "muted")
        words.setWordWrap(True)
        buttons = QHBoxLayout()
        buttons.setSpacing(S)
        buttons.addWidget(self.state, 1)
        buttons.addWidget(self.leave)
        buttons.addWidget(self.act)
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, XL, XL, XL)
        column.setSpacing(M)
        column.addWidget(words)
        column.addWidget(self.panel, 1)
        column.addLayout(buttons)

    def done(self, result: int) -> None:
        """Give up what is under way."""
        if self._making is not None:
            self._making.cancel()
        super().done(result)

    def save(self) -> None:
        """Have the daemon keep what is typed, if all of it is right."""
        self.panel.flush()
        if not self.panel.is_right:
            return
        name = self._name
        gone = (self._before & self.panel.names) - set(self._options)
        options = {name: value for name, value in self._options.items() if name in self.panel.names}
        body = {"from": name, "system": self._system, "parameters": options}
        body |= {"unset": sorted(gone)} if gone else {}
        self.act.setEnabled(False)
        self._making = self._link.stream(
            lambda client: client.create(name, body), self._moved, self._ended, self._failed
        )

    def _took(self, system: str, options: dict[str, Any]) -> None:
        self._system, self._options = system, options

    def _moved(self, moments: list[Progress]) -> None:
        self._say(moments[-1].phase, "muted")

    def _ended(self) -> None:
        self.made.emit(self._name)
        self.accept()

    def _failed(self, error: CorralError) -> None:
        self._making = None
        self.act.setEnabled(True)
        self._say(f"{sentence(error)} [{error.code}]", "bad")

    def _say(self, text: str, role: str) -> None:
        self.state.setText(text)
        self.state.setProperty("role", role)
        self.state.style().unpolish(self.state)
        self.state.style().polish(self.state)

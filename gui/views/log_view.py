"""The daemon's log as it grows: filtered by level and words, held still when asked.

The daemon tells it; while it does not answer, its file on this machine does, and says why.
"""

from __future__ import annotations

from functools import partial

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui import icons
from gui.errands import Task
from gui.link import Link, Phase
from gui.local import LEVELS, levelled
from gui.theme import M, S
from gui.widgets.spoken import Spoken
from gui.words import tr
from runner.client.launch import last_lines
from runner.errors import CorralError

#: Lines read from the end of the file.
_N_LINES = 2000
_WORDS = {"debug": "All", "info": "Info", "warning": "Warnings", "error": "Errors"}


class LogView(QWidget, Spoken):
    """Asks while anybody looks; ``refresh`` is called again and again by its page."""

    def __init__(self, link: Link) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self._link = link
        self._asked: Task | None = None
        self._lines: list[str] = []
        self._shown: list[str] = []
        self.level = QComboBox()
        for level in LEVELS:
            self.level.addItem("", level)
            at = self.level.count() - 1
            self.say(partial(self.level.setItemText, at), partial(tr, _WORDS[level]))
        self.words = QLineEdit()
        self.words.setClearButtonEnabled(True)
        self.hold = QCheckBox()
        copy = QPushButton()
        icons.dress(copy, "copy")
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setTabChangesFocus(True)
        self.text.setUndoRedoEnabled(False)
        self.text.setMaximumBlockCount(_N_LINES)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setStyleSheet("font-family: monospace;")
        self.note = QLabel()
        self.note.setProperty("role", "muted")
        self.note.setWordWrap(True)
        self.say(self.words.setPlaceholderText, lambda: tr("Only lines with these words"))
        self.say(self.words.setAccessibleName, lambda: tr("Only lines with these words"))
        self.say(self.level.setAccessibleName, lambda: tr("Level"))
        self.say(self.hold.setText, lambda: tr("Hold still"))
        self.say(copy.setText, lambda: tr("Copy"))
        self.say(self.text.setAccessibleName, lambda: tr("Log"))
        row = QHBoxLayout()
        row.setSpacing(S)
        for widget in (self.level, self.hold, copy):
            row.addWidget(widget)
        row.insertWidget(1, self.words, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, M, 0, 0)
        column.setSpacing(S)
        column.addLayout(row)
        column.addWidget(self.text, 1)
        column.addWidget(self.note)
        self.level.setCurrentIndex(1)
        self.level.activated.connect(lambda _: self._show())
        self.words.textChanged.connect(lambda _: self._show())
        copy.clicked.connect(
            lambda _=False: QGuiApplication.clipboard().setText(self.text.toPlainText())
        )

    def refresh(self) -> None:
        """Read the log anew, while anybody looks."""
        if not self.isVisible() or self.hold.isChecked() or self._asked is not None:
            return
        if self._link.state.phase is Phase.UP:
            self._asked = self._link.call(
                lambda client: client.log_lines(_N_LINES), self._took, self._read_file
            )
        else:
            self._read_file(None)

    def showEvent(self, event: object) -> None:
        super().showEvent(event)  # type: ignore[arg-type]
        self.refresh()

    def say_again(self) -> None:
        super().say_again()
        self._show()

    def _read_file(self, _: CorralError | None) -> None:
        """Read what a daemon in the background wrote here, whether or not it still runs."""
        self._asked = None
        if not self._link.is_local:
            self.note.setText(tr("The log of a daemon on another machine is read there."))
            return
        file = self._link.paths.daemon_log
        self._asked = self._link.call(lambda _: last_lines(file, _N_LINES), self._took)

    def _took(self, lines: list[str]) -> None:
        self._asked = None
        if lines != self._lines:
            self._lines = lines
            self._show()
        file = self._link.paths.daemon_log
        self.note.setText(
            str(file) if lines else tr("No log yet: a daemon in a terminal writes it there.")
        )

    def _show(self) -> None:
        """Show what the filters leave; only new lines are added when that is enough."""
        words = self.words.text().casefold().split()
        wanted = [
            line
            for line in levelled(self._lines, self.level.currentData())
            if all(word in line.casefold() for word in words)
        ]
        old, self._shown = self._shown, wanted
        if wanted == old:
            return
        bar = self.text.verticalScrollBar()
        is_at_end = bar.value() >= bar.maximum()
        if old and wanted[: len(old)] == old:
            self.text.appendPlainText("\n".join(wanted[len(old) :]))
        else:
            self.text.setPlainText("\n".join(wanted))
        if is_at_end:
            bar.setValue(bar.maximum())

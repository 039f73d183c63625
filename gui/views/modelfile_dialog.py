"""A Modelfile to write: looked at while it is typed, and made into a model of one's own."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui.errands import Task
from gui.link import Link
from gui.models.own_model import Checked, checked, create_body
from gui.theme import XL, M, S
from gui.widgets.room import take_room
from gui.words import tr
from runner.client.client import Client
from runner.client.connection import decoded
from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.errors import CorralError, InvalidName

#: Milliseconds of silence after which the text is looked at.
_PAUSE_MS = 350


class ModelfileDialog(QDialog):
    """Begins with the text of a model.

    Signals:
        made: The model with this name is in the library.
    """

    made = Signal(str)

    def __init__(self, parent: QWidget, link: Link, name: str, text: str) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("The Modelfile of {name}", name=name))
        take_room(self, 760, 640)
        self._link, self._before = link, text
        self._asked: Task | None = None
        self._making: Task | None = None
        self._checked: Checked | None = None
        self.text = QPlainTextEdit()
        self.text.setStyleSheet("font-family: monospace;")
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setAccessibleName(tr("Modelfile"))
        self.text.setTabChangesFocus(True)
        self.findings, self.state = QLabel(), QLabel()
        self.name = QLineEdit(name)
        self.tidy, self.act = QPushButton(tr("Tidy up")), QPushButton(tr("Save the model"))
        self.leave = QPushButton(tr("Cancel"))
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._look)
        self._lay_out()
        self.text.textChanged.connect(self._on_text)
        self.name.textChanged.connect(lambda _: self._show())
        self.text.setPlainText(text)

    def done(self, result: int) -> None:
        """Give up what is under way."""
        self._pause.stop()
        for task in (self._asked, self._making):
            if task is not None:
                task.cancel()
        super().done(result)

    def save(self) -> None:
        """Have the model made."""
        try:
            body = create_body(self.text.toPlainText(), self._before)
        except CorralError as error:
            self._failed(error)
            return
        name = self.name.text().strip()
        self._making = self._link.stream(
            lambda client: client.create(name, body),
            self._moved,
            lambda: self._ended(name),
            self._failed,
        )
        self._show()

    def _on_text(self) -> None:
        self._checked = None
        self._pause.start()
        self._show()

    def _look(self) -> None:
        text = self.text.toPlainText()

        def ask(client: Client) -> Checked:
            return decoded(checked, client.check_modelfile(text))

        if self._asked is not None:
            self._asked.cancel()
        self._asked = self._link.call(ask, self._took, self._not_checked)

    def _took(self, found: Checked) -> None:
        self._checked = found
        self._show()

    def _not_checked(self, error: CorralError) -> None:
        self._say(error.message, "bad")

    def _show(self) -> None:
        found = self._checked
        lines = [one.text() for one in found.findings] if found is not None else []
        if found is not None and not lines:
            lines = [tr("Nothing is wrong with it.")]
        if lines:
            role = "muted" if found is not None and found.is_good else "bad"
            self._say("\n".join(lines), role)
        self.tidy.setEnabled(
            bool(found and found.formatted and found.formatted != self.text.toPlainText())
        )
        can = found is not None and found.is_good and _is_name(self.name.text())
        self.act.setEnabled(can and self._making is None)

    def _tidy_up(self) -> None:
        if self._checked is not None and self._checked.formatted:
            self.text.setPlainText(self._checked.formatted)

    def _moved(self, moments: list[Progress]) -> None:
        self.state.setText(moments[-1].phase)

    def _ended(self, name: str) -> None:
        self.made.emit(name)
        self.accept()

    def _failed(self, error: CorralError) -> None:
        self._making = None
        self.state.setText("")
        text = " ".join(part for part in (error.message, error.hint, f"[{error.code}]") if part)
        self._show()
        self._say(text, "bad")

    def _say(self, text: str, role: str) -> None:
        self.findings.setText(text)
        self.findings.setProperty("role", role)
        self.findings.style().unpolish(self.findings)
        self.findings.style().polish(self.findings)

    def _lay_out(self) -> None:
        words = QLabel(
            tr("FROM says which model it begins with, PARAMETER and SYSTEM what is different.")
        )
        words.setProperty("role", "muted")
        words.setWordWrap(True)
        self.findings.setWordWrap(True)
        self.findings.setTextFormat(Qt.TextFormat.PlainText)
        self.findings.setMinimumHeight(3 * self.fontMetrics().height())
        self.findings.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.state.setProperty("role", "muted")
        self.name.setAccessibleName(tr("Name of the model"))
        self.act.setProperty("role", "primary")
        self.act.clicked.connect(lambda _=False: self.save())
        self.tidy.clicked.connect(lambda _=False: self._tidy_up())
        self.leave.clicked.connect(lambda _=False: self.reject())
        named = QHBoxLayout()
        named.setSpacing(S)
        named.addWidget(QLabel(tr("Save as")))
        named.addWidget(self.name, 1)
        buttons = QHBoxLayout()
        buttons.setSpacing(S)
        buttons.addWidget(self.tidy)
        buttons.addWidget(self.state, 1)
        buttons.addWidget(self.leave)
        buttons.addWidget(self.act)
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, XL, XL, XL)
        column.setSpacing(M)
        column.addWidget(words)
        column.addWidget(self.text, 1)
        column.addWidget(self.findings)
        column.addLayout(named)
        column.addLayout(buttons)


def _is_name(text: str) -> bool:
    try:
        ModelName.parse(text.strip())
    except InvalidName:
        return False
    return True

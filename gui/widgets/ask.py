"""Questions before something is done: a confirmation, or a line of text.

A dialog is opened, not waited in: the event loop goes on, and the answer comes as a call.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui.theme import XL, M
from gui.words import tr


class Question(QDialog):
    """Title, text, perhaps a field, and two buttons; ``Esc`` and Cancel do nothing."""

    def __init__(
        self,
        parent: QWidget,
        title: str,
        text: str,
        action: str,
        *,
        is_danger: bool = False,
    ) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.setMinimumWidth(420)
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, XL, XL, XL)
        column.setSpacing(M)
        heading = QLabel(title)
        heading.setProperty("role", "heading")
        heading.setWordWrap(True)
        words = QLabel(text)
        words.setWordWrap(True)
        words.setVisible(bool(text))
        self._field = QLineEdit()
        self._field.hide()
        self._buttons = QDialogButtonBox()
        self.act = QPushButton(action)
        self.act.setProperty("role", "danger" if is_danger else "primary")
        cancel = QPushButton(tr("Cancel"))
        self._buttons.addButton(self.act, QDialogButtonBox.ButtonRole.AcceptRole)
        self._buttons.addButton(cancel, QDialogButtonBox.ButtonRole.RejectRole)
        self._buttons.accepted.connect(self.accept)
        self._buttons.rejected.connect(self.reject)
        if is_danger:
            cancel.setDefault(True)
            cancel.setFocus()
        else:
            self.act.setDefault(True)
        for widget in (heading, words, self._field, self._buttons):
            column.addWidget(widget)

    @property
    def field(self) -> QLineEdit:
        """Where a text is typed, for questions that ask for one."""
        return self._field

    def wants(self, is_good: Callable[[str], bool], text: str, label: str) -> None:
        """Ask for a text; the action waits until it is good."""
        self._field.setVisible(True)
        self._field.setAccessibleName(label)
        self._field.setPlaceholderText(label)
        self._field.textChanged.connect(lambda now: self.act.setEnabled(is_good(now)))
        self._field.setText(text)
        self._field.selectAll()
        self._field.setFocus()
        self.act.setEnabled(is_good(text))


def confirm(
    parent: QWidget, title: str, text: str, action: str, done: Callable[[], object]
) -> Question:
    """Ask before something that cannot be undone; ``done`` is called when it shall be."""
    question = Question(parent, title, text, action, is_danger=True)
    question.accepted.connect(lambda: done())
    question.open()
    return question


def ask_text(
    parent: QWidget,
    title: str,
    text: str,
    action: str,
    done: Callable[[str], object],
    *,
    value: str = "",
    is_good: Callable[[str], bool] = lambda text: bool(text.strip()),
    is_danger: bool = False,
) -> Question:
    """Ask for a line of text; ``done`` gets it."""
    question = Question(parent, title, text, action, is_danger=is_danger)
    question.wants(is_good, value, title)
    question.accepted.connect(lambda: done(question.field.text().strip()))
    question.open()
    return question

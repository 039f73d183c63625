"""What a page shows when it has no content: it is empty, it loads, or something went wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui.theme import XL, M, S
from gui.ways import actions_for
from gui.words import tr
from runner.errors import CorralError

#: A button: its text and what it does.
Action = tuple[str, Callable[[], object]]


class Notice(QWidget):
    """Title, text and buttons in the middle of a page."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = _label("heading")
        self._text = _label("muted")
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(S)
        self._buttons.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, XL, XL, XL)
        column.setSpacing(M)
        column.addStretch(2)
        column.addWidget(self._title)
        column.addWidget(self._text)
        column.addLayout(self._buttons)
        column.addStretch(3)

    def show_empty(self, title: str, text: str = "", actions: Sequence[Action] = ()) -> None:
        """Say why there is nothing, and what to do about it."""
        self._fill(title, text, actions)

    def show_loading(self, title: str) -> None:
        """Say what is being waited for."""
        self._fill(title, "", ())

    def show_error(self, title: str, error: CorralError, actions: Sequence[Action] = ()) -> None:
        """Say what went wrong, why, what helps, and its code."""
        lines = [error.message, error.hint, f"[{error.code}]"]
        details = "\n".join(line for line in (title, *lines) if line)
        copy = (tr("Copy details"), lambda: QGuiApplication.clipboard().setText(details))
        buttons = (*actions, *actions_for(error.code), copy)
        self._fill(title, "\n".join(line for line in lines if line), buttons)

    def _fill(self, title: str, text: str, actions: Sequence[Action]) -> None:
        self._title.setText(title)
        self._text.setText(text)
        self._text.setVisible(bool(text))
        self.setAccessibleName(title)
        self.setAccessibleDescription(text)
        while (item := self._buttons.takeAt(0)) is not None:
            if widget := item.widget():
                widget.deleteLater()
        for index, (name, act) in enumerate(actions):
            button = QPushButton(name)
            if index == 0:
                button.setProperty("role", "primary")
            button.clicked.connect(lambda _=False, act=act: act())
            self._buttons.addWidget(button)


def _label(role: str) -> QLabel:
    label = QLabel()
    label.setProperty("role", role)
    label.setAlignment(Qt.AlignmentFlag.AlignCenter)
    label.setWordWrap(True)
    label.setTextInteractionFlags(
        Qt.TextInteractionFlag.TextSelectableByMouse
        | Qt.TextInteractionFlag.TextSelectableByKeyboard
    )
    return label

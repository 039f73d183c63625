"""A line over a page's content: something went wrong, or is not as usual; it can be put away."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton

from gui.theme import M, S
from gui.widgets.notice import Action
from gui.words import sentence, tr
from runner.errors import CorralError


class Banner(QFrame):
    """Hidden until it has something to say."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("card")
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._copy = QPushButton()
        self._copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._text.text()))
        self._act = QPushButton()
        self._act.clicked.connect(self._press)
        self._action: Action | None = None
        self._close = QPushButton()
        self._close.clicked.connect(self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(M, S, S, S)
        row.setSpacing(S)
        row.addWidget(self._text, 1)
        row.addWidget(self._act)
        row.addWidget(self._copy)
        row.addWidget(self._close)
        self.hide()

    @property
    def text(self) -> str:
        """What it says."""
        return self._text.text()

    @property
    def action(self) -> QPushButton:
        """The button of a warning."""
        return self._act

    def show_error(self, title: str, error: CorralError) -> None:
        """Say what went wrong, why, what helps, and its code."""
        self._say(f"{title}: {sentence(error)} [{error.code}]", "bad")

    def show_warning(self, text: str, action: Action) -> None:
        """Say what is not as it should be, with a button that helps."""
        self._say(text, "warn", action)

    def show_note(self, text: str) -> None:
        """Say something that is no error."""
        self._say(text, "muted")

    def _press(self) -> None:
        self.hide()
        if self._action is not None:
            self._action[1]()

    def _say(self, text: str, role: str, action: Action | None = None) -> None:
        self._action = action
        self._act.setVisible(action is not None)
        if action is not None:
            self._act.setText(action[0])
        self._text.setText(text)
        self._text.setProperty("role", role)
        self._text.style().unpolish(self._text)  # a style sheet looks at properties only here
        self._text.style().polish(self._text)
        self._copy.setText(tr("Copy details"))
        self._copy.setVisible(role == "bad")
        self._close.setText(tr("Close"))
        self.setAccessibleName(text)
        self.show()

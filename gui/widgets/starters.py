"""An empty chat: a few questions to begin with."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from gui.theme import XL, S
from gui.words import tr

_QUESTIONS = (
    "Explain how a refrigerator works",
    "Write a short poem about rain",
    "Write a Python function that finds primes",
)


class Starters(QWidget):
    """Signals only.

    Signals:
        chosen: The question to ask.
    """

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._title, self._text = QLabel(), QLabel()
        self._title.setProperty("role", "title")
        self._text.setProperty("role", "muted")
        for label in (self._title, self._text):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            label.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, XL, XL, XL)
        column.setSpacing(S)
        column.addStretch(2)
        column.addWidget(self._title)
        column.addWidget(self._text)
        column.addSpacing(S)
        self._buttons = []
        for question in _QUESTIONS:
            button = QPushButton()
            button.setMinimumWidth(340)  # larger type needs more
            button.clicked.connect(lambda _=False, q=question: self.chosen.emit(tr(q)))
            column.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
            self._buttons.append(button)
        column.addStretch(3)
        self.retranslate()

    def retranslate(self) -> None:
        """The language changed."""
        self._title.setText(tr("What would you like to know?"))
        self._text.setText(tr("Answers come from this computer, and what you ask stays on it."))
        for button, question in zip(self._buttons, _QUESTIONS, strict=True):
            button.setText(tr(question))

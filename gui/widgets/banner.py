"""A line over a page's content: something went wrong, or is not as usual; it can be put away."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui.theme import M, S
from gui.ways import Acts, actions_for
from gui.widgets.notice import Action
from gui.words import sentence, tr
from runner.errors import CorralError

#: Buttons there is room for.
_N_ACTIONS = 2


class Banner(QFrame):
    """Hidden until it has something to say."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("card")
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)  # another program's words may be in it
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._copy = QPushButton()
        self._copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._text.text()))
        self._acts = [QPushButton() for _ in range(_N_ACTIONS)]
        self._actions: Sequence[Action] = ()
        for place, button in enumerate(self._acts):
            button.clicked.connect(lambda _=False, place=place: self._press(place))
        self._close = QPushButton()
        self._close.clicked.connect(self.hide)
        row = QHBoxLayout()
        row.setSpacing(S)
        row.addWidget(self._text, 1)
        row.addWidget(self._close, 0, Qt.AlignmentFlag.AlignTop)
        self._below = QWidget()
        below = QHBoxLayout(self._below)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(S)
        for button in (*self._acts, self._copy):
            below.addWidget(button)
        below.addStretch()
        column = QVBoxLayout(self)
        column.setContentsMargins(M, S, S, S)
        column.setSpacing(S)
        column.addLayout(row)
        column.addWidget(self._below)
        self.hide()

    @property
    def text(self) -> str:
        """What it says."""
        return self._text.text()

    @property
    def action(self) -> QPushButton:
        """The first button: of a warning, or out of an error."""
        return self._acts[0]

    def show_error(self, title: str, error: CorralError, acts: Acts | None = None) -> None:
        """Say what went wrong, why, what helps, and its code.

        ``acts``: what can be done about it here, by ``Way.act``.
        """
        text = f"{title}: {sentence(error)} [{error.code}]"
        self._say(text, "bad", actions_for(error.code, acts))

    def show_warning(self, text: str, action: Action) -> None:
        """Say what is not as it should be, with a button that helps."""
        self._say(text, "warn", [action])

    def show_note(self, text: str) -> None:
        """Say something that is no error; nothing, where the text is empty."""
        if text:
            self._say(text, "muted")
        else:
            self.hide()

    def _press(self, place: int) -> None:
        self.hide()
        self._actions[place][1]()

    def _say(self, text: str, role: str, actions: Sequence[Action] = ()) -> None:
        self._actions = actions[:_N_ACTIONS]
        for place, button in enumerate(self._acts):
            button.setVisible(place < len(self._actions))
            if place < len(self._actions):
                button.setText(self._actions[place][0])
        self._text.setText(text)
        self._text.setProperty("role", role)
        self._text.style().unpolish(self._text)  # a style sheet looks at properties only here
        self._text.style().polish(self._text)
        self._copy.setText(tr("Copy details"))
        self._copy.setVisible(role == "bad")
        self._below.setVisible(role == "bad" or bool(self._actions))
        self._close.setText(tr("Close"))
        self.setAccessibleName(text)
        self.show()

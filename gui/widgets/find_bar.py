"""Finding words in the chat that is open: a field, how many places there are, and each of them."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QToolButton

from gui.chats.tree import Turn
from gui.icons import dress
from gui.theme import M, S
from gui.widgets.transcript import Transcript
from gui.words import tr

#: Milliseconds of silence after which one looks.
_SETTLE_MS = 150
#: Places that are counted; nobody walks through more.
_MOST = 999


def places_of(turns: Sequence[Turn], words: str) -> list[tuple[int, int]]:
    """Return where ``words`` stand, letters' case ignored: turns' ids, and which place in each."""
    wanted = words.casefold()
    if not wanted:
        return []
    counts = [(turn.id, turn.text.casefold().count(wanted)) for turn in turns]
    return [(turn_id, n) for turn_id, n_all in counts for n in range(n_all)][:_MOST]


class FindBar(QFrame):
    """Hidden until ``begin``; Enter goes on, Shift+Enter back, Esc puts it away."""

    def __init__(self, transcript: Transcript) -> None:
        super().__init__()
        self.setObjectName("bar")
        self._transcript = transcript
        self._places: list[tuple[int, int]] = []
        self._at = 0
        self.field, self.count = QLineEdit(), QLabel()
        self.field.setClearButtonEnabled(True)
        self.count.setProperty("role", "muted")
        self._back, self._on, self._close = QToolButton(), QToolButton(), QToolButton()
        dress(self._back, "chevron-left")
        dress(self._on, "chevron-right")
        dress(self._close, "close")
        self._back.clicked.connect(lambda: self.step(-1))
        self._on.clicked.connect(lambda: self.step(1))
        self._close.clicked.connect(self.end)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self.look)
        self.field.textChanged.connect(lambda _: self._settle.start())
        row = QHBoxLayout(self)
        row.setContentsMargins(M, S, M, S)
        row.setSpacing(S)
        row.addWidget(self.field, 1)
        for widget in (self.count, self._back, self._on, self._close):
            row.addWidget(widget)
        self.retranslate()
        self.hide()

    def begin(self) -> None:
        """Show the bar, with the words of last time ready to be replaced."""
        self.show()
        self.field.setFocus()
        self.field.selectAll()
        self.look()

    def end(self) -> None:
        """Put the bar away."""
        self._settle.stop()
        self.hide()
        self._transcript.mark("")

    def look(self) -> None:
        """Look for the words, and go to the first place."""
        self._settle.stop()
        words = self.field.text().strip()
        self._places = places_of(self._transcript.turns(), words)
        self._at = 0
        self._transcript.mark(words)
        self._go()

    def step(self, by: int) -> None:
        """Go so many places on; after the last one comes the first."""
        if self._settle.isActive():
            self.look()
        elif self._places:
            self._at = (self._at + by) % len(self._places)
            self._go()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The keys of every such bar."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            is_back = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self.step(-1 if is_back else 1)
        else:
            super().keyPressEvent(event)

    def retranslate(self) -> None:
        """The language changed."""
        self.field.setPlaceholderText(tr("Find in this chat"))
        self.field.setAccessibleName(tr("Find in this chat"))
        for button, text in (
            (self._back, tr("Earlier place")),
            (self._on, tr("Later place")),
            (self._close, tr("Close")),
        ):
            button.setToolTip(text)
            button.setAccessibleName(text)
        self._write()

    def _go(self) -> None:
        self._write()
        if self._places:
            self._transcript.show_place(*self._places[self._at])

    def _write(self) -> None:
        n = len(self._places)
        told = tr("{n} of {all}", n=self._at + 1, all=n) if n else ""
        if not n and self.field.text().strip():
            told = tr("Nothing found")
        self.count.setText(told)
        for button in (self._back, self._on):
            button.setEnabled(n > 1)

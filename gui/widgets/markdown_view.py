"""A text in Markdown that may still grow, as tall as it is; drawn a little at a time.

What arrived is drawn in turns of a few milliseconds, so the longest answer leaves the event loop
free.  Nothing is fetched: pictures are links, and a link asks before it opens.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Any

from PySide6.QtCore import QSize, Qt, QTimer, QUrl, Signal, Slot
from PySide6.QtGui import QColor, QGuiApplication, QResizeEvent, QTextCursor, QTextOption
from PySide6.QtWidgets import QFrame, QSizePolicy, QTextBrowser, QTextEdit, QWidget

from gui.markdown.pieces import Piece, Pieces
from gui.markdown.writer import COPY, Writer
from gui.theme import THEME
from gui.widgets.links import ask_and_open
from gui.words import tr

#: Seconds of drawing in one turn of the event loop.
_TURN_S = 0.006
#: Characters that are cut into pieces at once.
_BITE = 4000
#: Places that are marked in one text.
_MOST_MARKS = 500


class MarkdownView(QTextBrowser):
    """Shows a text; ``set_text`` with a longer one draws what was added."""

    drawn = Signal()  # all of it, for now

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("markdown")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setOpenLinks(False)
        self.setUndoRedoEnabled(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextBrowserInteraction
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setTabChangesFocus(True)
        self.document().setDocumentMargin(0)
        self.document().documentLayout().documentSizeChanged.connect(self._fit)
        self.anchorClicked.connect(self._on_link)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._draw)
        self._text = ""
        self._is_whole = False
        self._marked = ""
        self._begin()
        THEME.changed.connect(self._dress)

    @property
    def text(self) -> str:
        """The text it shows, as it was given."""
        return self._text

    @property
    def is_drawn(self) -> bool:
        """Whether all of it is on the screen."""
        return not self._timer.isActive()

    def set_text(self, text: str, *, is_whole: bool) -> None:
        """Show ``text``; ``is_whole``: it will not grow."""
        if not text.startswith(self._text) or self._is_whole:
            if text == self._text and self._is_whole == is_whole:
                return
            self._begin()
        self._text, self._is_whole = text, is_whole
        self._timer.start()

    def mark(self, words: str) -> None:
        """Show where words stand, letters' case ignored; none: nowhere."""
        if words != self._marked:
            self._marked = words
            self._show_marks()

    def place_of(self, number: int) -> int:
        """Return how far below the upper edge a marked place is, in pixels; 0: there is none."""
        marks = self.extraSelections()
        if not marks:
            return 0
        mark: Any = marks[min(number, len(marks) - 1)]
        return self.cursorRect(mark.cursor).top()

    def loadResource(self, _type: int, _name: QUrl | str) -> Any:
        """Give nothing: what an answer refers to stays where it is."""
        return None

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Take the height that the text needs at this width."""
        super().resizeEvent(event)
        self._fit()

    def sizeHint(self) -> QSize:
        """As wide as may be, as tall as the text."""
        return QSize(400, self.minimumHeight())

    def _begin(self) -> None:
        self.clear()
        self._pieces = Pieces()
        self._writer = Writer(self.document(), THEME.colours, THEME.font_px)
        self._writer.say_copy(tr("Copy"))
        self._queue: deque[Piece] = deque()
        self._n_fed = 0
        self._is_finished = False

    @Slot()
    def _draw(self) -> None:
        """Draw for a moment; what is left has another turn."""
        until = time.perf_counter() + _TURN_S
        while self._step():
            if time.perf_counter() > until:
                self._timer.start()
                return
        self._writer.draft(None if self._is_finished else self._pieces.draft())
        self._fit()
        if self._marked:
            self._show_marks()
        self.drawn.emit()

    def _step(self) -> bool:
        """Do the next bit of work; returns whether there was one."""
        if self._queue:
            self._writer.settle(self._queue.popleft())
        elif self._n_fed < len(self._text):
            bite = self._text[self._n_fed : self._n_fed + _BITE]
            self._n_fed += len(bite)
            self._queue.extend(self._pieces.feed(bite))
        elif self._is_whole and not self._is_finished:
            self._is_finished = True
            self._queue.extend(self._pieces.finish())
        else:
            return False
        return True

    def _show_marks(self) -> None:
        marks: list[QTextEdit.ExtraSelection] = []
        cursor = QTextCursor(self.document())
        while self._marked and len(marks) < _MOST_MARKS:
            cursor = self.document().find(self._marked, cursor)
            if cursor.isNull():
                break
            mark: Any = QTextEdit.ExtraSelection()
            mark.cursor = cursor
            mark.format.setBackground(QColor(THEME.colours.accent))
            mark.format.setForeground(QColor(THEME.colours.on_accent))
            marks.append(mark)
        self.setExtraSelections(marks)

    @Slot()
    def _fit(self) -> None:
        height = math.ceil(self.document().size().height()) if self._text else 0
        if height != self.minimumHeight() or height != self.maximumHeight():
            self.setFixedHeight(height)

    @Slot()
    def _dress(self) -> None:
        text, is_whole = self._text, self._is_whole
        self._begin()
        self._text = text
        self._is_whole = is_whole
        self._timer.start()

    @Slot(QUrl)
    def _on_link(self, url: QUrl) -> None:
        address = url.toString()
        if address.startswith(COPY):
            number = int(address.removeprefix(COPY))
            QGuiApplication.clipboard().setText(self._writer.codes[number])
        else:
            ask_and_open(self, url)

"""Every keyboard shortcut there is, in one list."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui.theme import THEME, XL, L, M, S
from gui.views.sheet import scrolled
from gui.words import tr

#: Keys and what they do, in English.
KEYS = (
    ("Ctrl+1", "Pages, by their place in the list"),
    ("Ctrl+N", "New chat"),
    ("Ctrl+K", "Search all chats"),
    ("Ctrl+L", "Choose the model"),
    ("Ctrl+B", "Show or hide the list of chats"),
    ("Ctrl+P", "Show or hide the parameters"),
    ("Return", "Send"),
    ("Shift+Return", "New line"),
    ("Up", "Edit the last question, in an empty field"),
    ("Ctrl+Return", "Send an edit"),
    ("Esc", "Stop the answer"),
    ("Ctrl+Shift+Up", "Chat above"),
    ("Ctrl+Shift+Down", "Chat below"),
    ("Ctrl+Shift+E", "Rename the chat"),
    ("Ctrl+Shift+D", "Delete the chat"),
    ("Ctrl+F", "Find in the chat or the page"),
    ("Ctrl++", "Larger text"),
    ("Ctrl+-", "Smaller text"),
    ("Ctrl+0", "Text as large as at first"),
    ("Ctrl+,", "Settings"),
    ("Ctrl+/", "This list"),
    ("Ctrl+Q", "Quit"),
)
#: Pixels of type above which two columns have no room beside each other.
_LARGE_PX = 17


class KeysDialog(QDialog):
    """Closed by any of the usual ways."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("Keyboard"))
        grid = QGridLayout()
        grid.setHorizontalSpacing(L)
        grid.setVerticalSpacing(S)
        half = len(KEYS) if THEME.font_px > _LARGE_PX else (len(KEYS) + 1) // 2
        for number, (keys, words) in enumerate(KEYS):
            shown = QLabel(QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText))
            shown.setStyleSheet("font-family: monospace;")
            shown.setProperty("role", "muted")
            column = 2 * (number // half)
            grid.addWidget(shown, number % half, column)
            grid.addWidget(QLabel(tr(words)), number % half, column + 1)
        close = QPushButton(tr("Close"))
        close.setDefault(True)
        close.clicked.connect(lambda _=False: self.accept())
        whole = QVBoxLayout(self)
        whole.setContentsMargins(XL, XL, XL, XL)
        whole.setSpacing(M)
        inner = QWidget()
        inner.setLayout(grid)
        area = scrolled(inner)
        area.setAccessibleName(tr("Keyboard"))
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setMinimumWidth(inner.sizeHint().width() + XL)
        whole.addWidget(area, 1)
        whole.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)
        height = inner.sizeHint().height() + close.sizeHint().height() + 4 * XL
        self.resize(self.sizeHint().width(), min(height, parent.window().height()))

"""A short message over a page, with a button perhaps; it leaves by itself."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from gui.theme import XL, M, S
from gui.widgets.notice import Action

_SHOWN_MS = 6000
#: Pixels from the page's upper end: below its bar.
_TOP = 60


class Toast(QFrame):
    """Lies over the upper end of ``over``."""

    def __init__(self, over: QWidget) -> None:
        super().__init__(over)
        self.setObjectName("toast")
        self._over = over
        self._label = QLabel()
        self._label.setWordWrap(True)
        self._label.setTextFormat(Qt.TextFormat.PlainText)
        self._button = QPushButton()
        self._button.clicked.connect(self._press)
        self._action: Action | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(M, S, S, S)
        row.setSpacing(M)
        row.addWidget(self._label, 1)
        row.addWidget(self._button)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        over.installEventFilter(self)
        self.hide()

    def tell(self, text: str, action: Action | None = None, *, for_ms: int = _SHOWN_MS) -> None:
        """Show ``text`` for a while; ``action`` is what its button does."""
        self._label.setText(text)
        self.setAccessibleName(text)
        self._action = action
        self._button.setVisible(action is not None)
        if action is not None:
            self._button.setText(action[0])
        self._timer.start(for_ms)
        self.show()
        self._place()
        self.raise_()

    def tell_or_hide(self, text: str) -> None:
        """Show ``text``, or nothing where it is empty."""
        if text:
            self.tell(text)
        else:
            self.hide()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay in the middle."""
        if event.type() is QEvent.Type.Resize and watched is self._over:
            self._place()
        return super().eventFilter(watched, event)

    def _press(self) -> None:
        self.hide()
        if self._action is not None:
            self._action[1]()

    def _place(self) -> None:
        width = min(520, self._over.width() - 2 * XL)
        self.resize(width, max(self.sizeHint().height(), self.heightForWidth(width)))
        self.move((self._over.width() - width) // 2, _TOP)

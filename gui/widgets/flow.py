"""A row of widgets that goes on in the next line where there is no more room, as words do."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtWidgets import QLayout, QLayoutItem, QSizePolicy, QWidget

from gui.theme import S


class Flow(QLayout):
    """Gives each widget the size it wants; a line is as tall as what is tallest in it."""

    def __init__(self, *, spacing: int = S) -> None:
        super().__init__()
        self._items: list[QLayoutItem] = []
        self.setContentsMargins(0, 0, 0, 0)
        self.setSpacing(spacing)

    def addItem(self, item: QLayoutItem) -> None:
        """As Qt asks for it."""
        self._items.append(item)

    def count(self) -> int:
        """As Qt asks for it."""
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:
        """As Qt asks for it: ``None`` beyond the end."""
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        """As Qt asks for it: ``None`` beyond the end."""
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:
        """None: lines end where the last widget does."""
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:
        """Yes: what has less width needs more lines."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Return the pixels that all lines take at this width."""
        return self._place(QRect(0, 0, width, 0), moves=False)

    def sizeHint(self) -> QSize:
        """All in one line."""
        hints = [item.sizeHint() for item in self._shown()]
        width = sum(hint.width() for hint in hints) + self.spacing() * max(0, len(hints) - 1)
        return QSize(width, max((hint.height() for hint in hints), default=0))

    def minimumSize(self) -> QSize:
        """The widest alone in its line."""
        hints = [item.minimumSize() for item in self._shown()]
        width = max((hint.width() for hint in hints), default=0)
        return QSize(width, max((hint.height() for hint in hints), default=0))

    def setGeometry(self, rect: QRect) -> None:
        """Put every widget into its place."""
        super().setGeometry(rect)
        self._place(rect, moves=True)

    def _shown(self) -> list[QLayoutItem]:
        return [item for item in self._items if not item.isEmpty()]

    def _place(self, rect: QRect, *, moves: bool) -> int:
        """Return the height that all lines take; ``moves``: put the widgets there."""
        x, y, tallest = rect.x(), rect.y(), 0
        for item in self._shown():
            hint = item.sizeHint()
            width = min(hint.width(), max(rect.width(), item.minimumSize().width()))
            if x > rect.x() and x + width > rect.x() + rect.width():
                x, y, tallest = rect.x(), y + tallest + self.spacing(), 0
            if moves:
                item.setGeometry(QRect(x, y, width, hint.height()))
            x += width + self.spacing()
            tallest = max(tallest, hint.height())
        return y + tallest - rect.y()


class FlowRow(QWidget):
    """A widget that holds a ``Flow`` and is as tall as its lines."""

    def __init__(self, *, spacing: int = S) -> None:
        super().__init__()
        self.flow = Flow(spacing=spacing)
        self.setLayout(self.flow)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)

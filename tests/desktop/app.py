"""The real app, with ears: on its standard input it is asked where something stands on the screen.

    {"where": "Library"}        → {"at": [x, y]} of what bears that name, or {"at": null}
    {"texts": true}             → {"texts": [...]} of all that is in sight
    {"state": true}             → windows, theme, tray
    {"focus": true}             → {"focus": the name of what the keyboard works}

Nothing is done here: the mouse and the keyboard are the test's, and the X server brings them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QRect, QSocketNotifier, Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QTabBar,
    QTextBrowser,
    QWidget,
)

from gui import app as gui_app
from gui.theme import THEME

Place = tuple[str, QWidget, QRect]


class Ears(QObject):
    """Answers a line of JSON with a line of JSON."""

    def __init__(self, application: QApplication, app: gui_app.App) -> None:
        super().__init__(application)
        self._app = app
        self._notifier = QSocketNotifier(sys.stdin.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._hear)

    def _hear(self) -> None:
        line = sys.stdin.readline()
        if not line:
            self._notifier.setEnabled(False)
            return
        asked = json.loads(line)
        if "where" in asked:
            told = {"at": where(asked["where"])}
        elif "texts" in asked:
            told = {"texts": [name for name, _, _ in places()]}
        elif "focus" in asked:
            focus = QApplication.focusWidget()
            told = {"focus": max(texts_of(focus), key=len, default="") if focus else None}
        else:
            windows = [w.windowTitle() for w in QApplication.topLevelWidgets() if w.isVisible()]
            told = {
                "windows": [title for title in windows if title],  # the tray's icon has none
                "theme": THEME.colours.ground,
                "tray": self._app.tray.icon.isVisible(),
            }
        print(json.dumps(told), flush=True)  # noqa: T201


def where(name: str) -> list[int] | None:
    """The middle of the first thing of that name that can be seen, in pixels of the screen.

    What can be worked comes before the label that stands beside it.
    """
    seen = [(widget, rect) for found, widget, rect in places() if found == name and rect.isValid()]
    for widget, rect in sorted(seen, key=lambda one: isinstance(one[0], QLabel | QLineEdit)):
        middle = widget.mapToGlobal(rect.center())
        return [middle.x(), middle.y()]
    return None


def places() -> Iterator[Place]:
    """Everything in sight that has a name or shows a text; what lies on top comes first."""
    popup = QApplication.activePopupWidget()
    dialog = QApplication.activeModalWidget()
    others = [w for w in QApplication.topLevelWidgets() if w.isVisible()]
    for window in (popup, dialog, *others):
        if window is not None and window.isVisible():
            yield from within(window)


def within(window: QWidget) -> Iterator[Place]:
    if isinstance(window, QMenu):
        for action in window.actions():
            yield action.text(), window, window.actionGeometry(action)
    for widget in (window, *window.findChildren(QWidget)):
        if not widget.isVisible() or widget.visibleRegion().isEmpty():
            continue
        seen = widget.visibleRegion().boundingRect()
        for text in texts_of(widget):
            yield text, widget, seen
        if isinstance(widget, QAbstractItemView):
            yield from items(widget)
        if isinstance(widget, QTabBar):
            for at in range(widget.count()):
                yield widget.tabText(at), widget, widget.tabRect(at)


def texts_of(widget: QWidget) -> set[str]:
    names = {widget.accessibleName()}
    if isinstance(widget, QAbstractButton | QLabel):
        names.add(widget.text())
    if isinstance(widget, QLineEdit):
        names |= {widget.text(), widget.placeholderText()}
    if isinstance(widget, QPlainTextEdit | QTextBrowser):
        names.add(widget.toPlainText().strip())
    if isinstance(widget, QComboBox):
        names.add(f"={widget.currentText()}")
    return names - {""}


def items(view: QAbstractItemView) -> Iterator[Place]:
    model = view.model()
    for row in range(min(200, model.rowCount())):
        for column in range(1 if isinstance(model, QAbstractListModel) else model.columnCount()):
            index: QModelIndex = model.index(row, column)
            text = index.data(Qt.ItemDataRole.DisplayRole)
            rect = view.visualRect(index)
            if text and view.viewport().rect().contains(rect.center()):
                yield str(text), view.viewport(), rect


def main() -> int:
    """Run the app as ``gui.app.main`` does, and listen."""
    made = gui_app.App

    def with_ears(application: QApplication, paths: object) -> gui_app.App:
        app = made(application, paths)
        app.ears = Ears(application, app)
        return app

    gui_app.App = with_ears
    return gui_app.main(sys.argv)


if __name__ == "__main__":
    sys.exit(main())

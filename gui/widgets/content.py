"""A page's content, or what stands in its place: empty, loading, an error."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QStackedWidget, QWidget

from gui.widgets.notice import Action, Notice
from runner.errors import CorralError

#: Milliseconds of waiting before it is said that one waits: what comes at once must not flash.
_PATIENCE_MS = 150


class Content(QStackedWidget):
    """Shows the body, or a notice."""

    def __init__(self, body: QWidget) -> None:
        super().__init__()
        self.notice = Notice()
        self._body = body
        self._title = ""
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(_PATIENCE_MS)
        self._wait.timeout.connect(self._say_loading)
        self.addWidget(self.notice)
        self.addWidget(body)

    @property
    def is_shown(self) -> bool:
        """Whether the body is in sight."""
        return self.currentWidget() is self._body

    def show_body(self) -> None:
        """Show the content."""
        self._wait.stop()
        self.setCurrentWidget(self._body)

    def show_loading(self, title: str) -> None:
        """Say soon what is being waited for, unless something else is shown by then."""
        self._title = title
        if not self._wait.isActive():
            self._wait.start()

    def show_empty(self, title: str, text: str = "", actions: Sequence[Action] = ()) -> None:
        """Say why there is nothing."""
        self._wait.stop()
        self.notice.show_empty(title, text, actions)
        self.setCurrentWidget(self.notice)

    def show_error(self, title: str, error: CorralError, actions: Sequence[Action] = ()) -> None:
        """Say what went wrong."""
        self._wait.stop()
        self.notice.show_error(title, error, actions)
        self.setCurrentWidget(self.notice)

    def _say_loading(self) -> None:
        self.notice.show_loading(self._title)
        self.setCurrentWidget(self.notice)

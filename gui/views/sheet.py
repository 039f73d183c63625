"""What the pages beside the chat share: head, buttons, banner, and how the daemon stands."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from gui import icons
from gui.link import Phase, State
from gui.pages import House, Page
from gui.theme import XL, XS, L, M, S
from gui.widgets.banner import Banner
from gui.widgets.spoken import Spoken
from gui.words import tr
from runner.errors import CorralError, DaemonError


class Sheet(Page, Spoken):
    """A page with a title; asks the daemon anew when it comes into sight."""

    title = ""  # English, as the sidebar has it; shown through ``tr``
    subtitle = ""  # English; one line under the title

    def __init__(self, house: House) -> None:
        Page.__init__(self, house)
        Spoken.__init__(self)
        self.link = house.link
        self.banner = Banner()
        self._was_up = False
        self._pulse = QTimer(self)
        self._pulse.timeout.connect(self.refresh)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(XL, L + 4, XL, L)
        self.column.setSpacing(M)
        self._tools = QHBoxLayout()
        self._tools.setSpacing(S)
        self.column.addLayout(self._head())
        self.column.addWidget(self.banner)
        self.link.changed.connect(self._on_state)

    @property
    def is_up(self) -> bool:
        """Whether the daemon can be asked."""
        return self.link.state.phase is Phase.UP

    def refresh(self) -> None:
        """Ask the daemon anew; called only while it can be asked."""

    def show_down(self, error: CorralError) -> None:
        """The daemon cannot be asked."""

    def state_changed(self, state: State) -> None:
        """What is loaded, or how the daemon is, has changed."""

    def entered(self) -> None:
        self._on_state(self.link.state)
        if self.is_up:
            self.refresh()

    def retranslate(self) -> None:
        self.say_again()

    def every(self, interval_ms: int) -> None:
        """Refresh again and again while the page is in sight and the daemon answers."""
        if self._pulse.interval() != interval_ms or not self._pulse.isActive():
            self._pulse.setInterval(interval_ms)
            if self.isVisible() and self.is_up:
                self._pulse.start()

    def showEvent(self, event: object) -> None:
        super().showEvent(event)  # type: ignore[arg-type]
        if self._pulse.interval() and self.is_up:
            self._pulse.start()

    def hideEvent(self, event: object) -> None:
        super().hideEvent(event)  # type: ignore[arg-type]
        self._pulse.stop()

    def add_tool(
        self,
        text: Callable[[], str],
        act: Callable[[], object],
        *,
        glyph: str = "",
        role: str = "",
    ) -> QPushButton:
        """Return a new button at the right of the head."""
        made = self.button(text, act, glyph=glyph, role=role)
        self._tools.addWidget(made)
        return made

    def add_widget_tool(self, widget: QWidget) -> None:
        """Put a widget at the right of the head."""
        self._tools.addWidget(widget)

    def button(
        self,
        text: Callable[[], str],
        act: Callable[[], object],
        *,
        glyph: str = "",
        role: str = "",
    ) -> QPushButton:
        """Return a new button that speaks both languages."""
        made = QPushButton()
        if role:
            made.setProperty("role", role)
        if glyph:
            colour = {"primary": "on_accent", "danger": "bad"}.get(role, "text")
            icons.dress(made, glyph, colour)
        made.clicked.connect(lambda _=False: act())
        self.say(made.setText, text)
        return made

    def label(self, text: Callable[[], str], role: str = "") -> QLabel:
        """Return a new label that speaks both languages."""
        made = QLabel()
        made.setWordWrap(True)
        if role:
            made.setProperty("role", role)
        self.say(made.setText, text)
        return made

    def act_failed(self, title: str) -> Callable[[CorralError], None]:
        """Return what shows an error of an action under ``title``."""
        return lambda error: self.banner.show_error(title, error)

    def _head(self) -> QHBoxLayout:
        words = QVBoxLayout()
        words.setSpacing(XS)
        words.addWidget(self.label(lambda: tr(self.title), "title"))
        if self.subtitle:
            words.addWidget(self.label(lambda: tr(self.subtitle), "muted"))
        head = QHBoxLayout()
        head.setSpacing(M)
        head.addLayout(words, 1)
        head.addLayout(self._tools)
        return head

    def _on_state(self, state: State) -> None:
        was_up, self._was_up = self._was_up, state.phase is Phase.UP
        if not self.isVisible():
            return
        if state.phase is Phase.DOWN:
            self._pulse.stop()
            self.show_down(state.error or DaemonError(tr("The daemon does not answer")))
            return
        self.state_changed(state)
        if state.phase is Phase.UP and not was_up:
            self.refresh()
            if self._pulse.interval():
                self._pulse.start()


def card(*, spacing: int = S) -> tuple[QFrame, QVBoxLayout]:
    """Return a framed surface and the column in it."""
    frame = QFrame()
    frame.setObjectName("card")
    column = QVBoxLayout(frame)
    column.setContentsMargins(L, M, L, L)
    column.setSpacing(spacing)
    return frame, column


def scrolled(inner: QWidget) -> QScrollArea:
    """Return ``inner`` in a frame that scrolls when it does not fit."""
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setWidget(inner)
    inner.setObjectName("page")
    return area

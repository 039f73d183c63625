"""The window: a sidebar of pages, the page, and a line that says how the daemon is."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QByteArray, QEvent, QSize, Signal, Slot
from PySide6.QtGui import QCloseEvent, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import (
    QApplication,
    QButtonGroup,
    QDialog,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from gui.chats.archive import Archive
from gui.contents import pages
from gui.icons import dress
from gui.link import Link, Phase, State
from gui.pages import House, Page
from gui.settings import Choices, Settings
from gui.slow import SlowWatch
from gui.theme import THEME, XS, S
from gui.ways import GUIDE
from gui.widgets.banner import Banner
from gui.widgets.keys_dialog import KeysDialog
from gui.words import WORDS, tr
from runner import __version__
from runner.errors import CorralError

#: Widths of the window, in sizes of its type, below which the side has icons alone.
_NARROW_TYPES = 74
#: Pixels that the side has with words.
_SIDE_PX = 190
#: Of the window at its first start, where the screen has as many.
_SIZE = QSize(1120, 760)


class MainWindow(QMainWindow):
    """Builds a page when it is first shown; closing it ends nothing that runs."""

    closed = Signal()
    quit_asked = Signal()

    def __init__(self, link: Link, settings: Settings, archive: Archive | None = None) -> None:
        super().__init__()
        self._link = link
        self._settings = settings
        self._house = House(link, settings, self.lead, archive)
        self._entries = {entry.key: entry for entry in pages()}
        self._pages: dict[str, Page] = {}
        self._buttons: dict[str, QPushButton] = {}
        self._stack = QStackedWidget()
        self._banner = Banner()
        self._told_version = __version__
        self._status = QLabel()
        self.setCentralWidget(self._frame())
        self.statusBar().addWidget(self._status)
        self.setMinimumSize(720, 480)
        self.resize(_SIZE.boundedTo(self.screen().availableSize()))
        self.restoreGeometry(QByteArray.fromHex(settings.choices.geometry.encode()))
        link.changed.connect(self._show_state)
        self._slow = SlowWatch(link, self)
        self._slow.changed.connect(lambda: self._show_state(link.state))
        WORDS.changed.connect(self._retranslate)
        THEME.changed.connect(self._fit_side)
        GUIDE.led.connect(self.lead)
        GUIDE.acts = {"start": link.resume, "move": link.move}
        self._retranslate()
        self._show_state(link.state)
        self._shortcuts()
        if self._entries:
            self.go(next(iter(self._entries)))

    def go(self, key: str) -> None:
        """Show a page."""
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = self._entries[key].kind()(self._house)
            self._stack.addWidget(page)
        self._stack.setCurrentWidget(page)
        self._buttons[key].setChecked(True)
        page.entered()

    @Slot(str)
    def lead(self, place: str) -> None:
        """Show a page, or a part of it: ``settings``, ``server/log``; a question in sight goes."""
        asking = QApplication.activeModalWidget()
        if isinstance(asking, QDialog) and self.isAncestorOf(asking):
            asking.reject()
        key, _, part = place.partition("/")
        self.go(key)
        if part:
            self._pages[key].show_part(part)

    @property
    def link(self) -> Link:
        """The daemon."""
        return self._link

    def page(self, key: str) -> Page:
        """Return a page, built if need be."""
        self.go(key)
        return self._pages[key]

    def keys(self) -> list[str]:
        """Return the keys of the pages that there are."""
        return list(self._entries)

    def leaving(self) -> None:
        """The app is about to end: let every page hand over what is not kept yet."""
        for page in self._pages.values():
            page.leaving()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A narrow window has the pages' icons alone at its side."""
        super().resizeEvent(event)
        self._fit_side()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember where the window stood."""
        geometry = self.saveGeometry().toHex().data()
        self._settings.change(geometry=bytes(geometry).decode())
        super().closeEvent(event)
        self.closed.emit()

    def changeEvent(self, event: QEvent) -> None:
        """Look at the daemon less often while nobody sees the window."""
        super().changeEvent(event)
        if event.type() is QEvent.Type.WindowStateChange:
            self._link.set_seen(self.isVisible() and not self.isMinimized())

    def _frame(self) -> QWidget:
        side = self._side = QWidget()
        side.setObjectName("sidebar")
        column = QVBoxLayout(side)
        column.setContentsMargins(S, S, S, S)
        column.setSpacing(XS)
        group = QButtonGroup(self)
        for number, (key, entry) in enumerate(self._entries.items(), 1):
            button = QPushButton()
            button.setProperty("role", "nav")
            button.setCheckable(True)
            dress(button, key)
            button.clicked.connect(lambda _=False, key=key: self.go(key))
            group.addButton(button)
            column.addWidget(button)
            self._buttons[key] = button
            QShortcut(QKeySequence(f"Ctrl+{number}"), self, lambda key=key: self.go(key))
            button.setToolTip(f"{entry.title} (Ctrl+{number})")
        column.addStretch()
        frame = QWidget()
        row = QHBoxLayout(frame)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        right = QVBoxLayout()
        right.setSpacing(0)
        right.addWidget(self._banner)
        right.addWidget(self._stack, 1)
        row.addWidget(side)
        row.addLayout(right, 1)
        return frame

    def _shortcuts(self) -> None:
        acts: tuple[tuple[str, Callable[[], object]], ...] = (
            ("Ctrl++", lambda: self._zoom(1)),
            ("Ctrl+=", lambda: self._zoom(1)),
            ("Ctrl+-", lambda: self._zoom(-1)),
            ("Ctrl+0", lambda: self._zoom(0)),
            ("Ctrl+,", lambda: self.go("settings")),
            ("Ctrl+/", lambda: KeysDialog(self).open()),
            ("F1", lambda: KeysDialog(self).open()),
            ("Ctrl+Q", self.quit_asked.emit),
        )
        for keys, act in acts:
            QShortcut(QKeySequence(keys), self, act)

    def _zoom(self, by: int) -> None:
        """Make the text larger or smaller; 0: as at first."""
        was = self._settings.choices.font_px
        wanted = was + by if by else Choices().font_px
        self._settings.change(font_px=max(10, min(32, wanted)))

    def _retranslate(self) -> None:
        self.setWindowTitle(tr("Corral"))
        for number, (key, entry) in enumerate(self._entries.items(), 1):
            self._buttons[key].setAccessibleName(tr(entry.title))
            self._buttons[key].setToolTip(f"{tr(entry.title)} (Ctrl+{number})")
        self._fit_side()
        for page in self._pages.values():
            page.retranslate()
        self._show_state(self._link.state)

    def _fit_side(self) -> None:
        """Give the side the width that its words need, or that of icons."""
        is_narrow = self.width() < _NARROW_TYPES * self._settings.choices.font_px
        for key, entry in self._entries.items():
            self._buttons[key].setText("" if is_narrow else tr(entry.title))
        wanted = self._side.minimumSizeHint().width()
        self._side.setFixedWidth(wanted if is_narrow else max(_SIDE_PX, wanted))

    def _show_state(self, state: State) -> None:
        self._status.setText(status_text(state, is_slow=self._slow.is_slow))
        if state.version and state.version != self._told_version:
            self._told_version = state.version
            self._tell_version(state.version)

    def _tell_version(self, there: str) -> None:
        """The daemon was started by another version of Corral, before an update perhaps."""
        if there == __version__:
            self._banner.hide()
            return
        words = tr(
            "The daemon has version {there}, this app {here}.", there=there, here=__version__
        )
        again = (tr("Restart the daemon"), lambda: self._link.restart(self._not_restarted))
        self._banner.show_warning(words, again)

    def _not_restarted(self, error: CorralError) -> None:
        self._banner.show_error(tr("The daemon cannot be stopped"), error)


def status_text(state: State, *, is_slow: bool = False) -> str:
    """Return how the daemon is, in a line; ``is_slow``: it takes long to answer."""
    match state.phase:
        case Phase.LOOKING:
            return tr("Connecting…")
        case Phase.STARTING:
            return tr("Starting the daemon…")
        case Phase.DOWN:
            reason = f": {state.error.message}" if state.error else ""
            return tr("The daemon does not answer") + reason
        case Phase.UP if is_slow:
            return tr("The daemon takes long to answer…")
        case Phase.UP if state.running:
            names = ", ".join(str(model.info.name) for model in state.running)
            return f"{tr('{n} loaded', n=len(state.running))}: {names}"
        case Phase.UP:
            return tr("Ready")

"""The application: one instance, one link, one window; the only file that knows all parts."""

from __future__ import annotations

import hashlib
import signal
import socket
import sys
from collections.abc import Sequence

from PySide6.QtCore import QObject, QSocketNotifier, QTimer, Signal
from PySide6.QtNetwork import QLocalServer, QLocalSocket
from PySide6.QtWidgets import QApplication

from gui.activity import ACTIVITY
from gui.chats.archive import Archive
from gui.garbage import collect_here
from gui.icons import mark
from gui.job_watch import JobWatch
from gui.link import Link
from gui.settings import Choices, Settings
from gui.singletons import make_lasting
from gui.theme import THEME
from gui.tray import Tray
from gui.views.main_window import MainWindow
from gui.words import WORDS, tr
from runner.config import load_settings
from runner.domain.address import DEFAULT_ADDRESS, Address
from runner.errors import CorralError
from runner.paths import Paths, find_paths

#: Milliseconds between two looks whether the last answer is there.
_LAST_WORK_MS = 500


class SingleInstance(QObject):
    """The first app of a home listens; a second one asks it to show itself, and ends."""

    raised = Signal()

    def __init__(self, paths: Paths) -> None:
        super().__init__()
        # A name, not a path: a socket's path may have no more than about a hundred bytes.
        self._name = f"corral-{hashlib.sha256(bytes(paths.run)).hexdigest()[:16]}"
        self._server = QLocalServer(self)
        self._server.setSocketOptions(QLocalServer.SocketOption.UserAccessOption)
        self._server.newConnection.connect(self._on_connection)

    def take(self) -> bool:
        """Return whether this is the first; if not, the first was asked to show itself."""
        socket = QLocalSocket()
        socket.connectToServer(self._name)
        if socket.waitForConnected(500):
            socket.disconnectFromServer()
            return False
        QLocalServer.removeServer(self._name)  # left by one that was killed
        return self._server.listen(self._name)

    def _on_connection(self) -> None:
        if socket := self._server.nextPendingConnection():
            socket.deleteLater()
        self.raised.emit()


class App(QObject):
    """Everything that lives as long as the process."""

    def __init__(self, application: QApplication, paths: Paths) -> None:
        super().__init__()
        self._application = application
        self.settings = Settings(paths.state / "app.json")
        self._dress(self.settings.choices)
        THEME.follow_system()
        self.link = Link(paths, address_in(paths), finds=lambda: _read_address(paths))
        self.jobs = JobWatch(self.link)
        self.archive = Archive(paths.state / "chats.sqlite")
        self.window = MainWindow(self.link, self.settings, self.archive)
        self.tray = Tray(self.link, self.settings, self.window.keys())
        self.tray.opened.connect(self.open_page)
        self.tray.left.connect(self.quit)
        self.window.closed.connect(self._on_closed)
        self.window.quit_asked.connect(lambda: self.quit(stops_daemon=False))
        self.settings.changed.connect(self._dress)
        application.setWindowIcon(mark())
        application.setQuitOnLastWindowClosed(False)  # see ``_on_closed``
        application.aboutToQuit.connect(self._end)
        self._last_work = QTimer(self)
        self._last_work.setInterval(_LAST_WORK_MS)
        self._last_work.timeout.connect(self._end_when_done)

    def start(self, *, is_hidden: bool = False) -> None:
        """Look for the daemon, and show the window unless it is to stay in the tray."""
        if not (is_hidden and self.tray.is_there):
            self.window.show()
        self.tray.show()
        self.link.watch()

    def show_window(self) -> None:
        """Bring the window to the front."""
        self.window.showNormal()
        self.window.raise_()
        self.window.activateWindow()

    def open_page(self, key: str) -> None:
        """Bring the window to the front, at a page; empty: as it is."""
        if key:
            self.window.go(key)
        self.show_window()

    def quit(self, stops_daemon: bool) -> None:
        """End the app, and the daemon too if asked for."""
        if not stops_daemon:
            self._application.quit()
            return

        def ended(_: object) -> None:
            self._application.quit()

        # Nobody may start it again while it ends.
        self.link.close()
        self.link.call(lambda client: client.shutdown(), ended, ended)

    def _on_closed(self) -> None:
        """With a tray the app lives on; without one until the answers that are coming are there."""
        if not self.tray.is_there:
            QTimer.singleShot(0, self, self._end_when_done)  # the window is not gone yet
        elif not self.settings.choices.knows_tray:
            self.settings.change(knows_tray=True)
            ACTIVITY.announce(tr("Corral is still here"), tr("Open or quit it from this icon."))

    def _end_when_done(self) -> None:
        if self.window.isVisible():  # another start has brought it back
            self._last_work.stop()
        elif self.link.is_streaming:
            self._last_work.start()
        else:
            self._application.quit()

    def _end(self) -> None:
        """Keep what is not on disk yet; what the daemon does goes on."""
        self.tray.hide()
        self.window.leaving()
        self.archive.close()
        self.link.close()

    def _dress(self, choices: Choices) -> None:
        THEME.apply(
            choices.theme,
            font_px=choices.font_px,
            is_dense=choices.is_dense,
            family=choices.family,
        )
        WORDS.use(choices.language)


def address_in(paths: Paths) -> Address:
    """Return where the daemon shall answer; settings that cannot be read are told later."""
    try:
        return _read_address(paths)
    except CorralError:
        return DEFAULT_ADDRESS


def _read_address(paths: Paths) -> Address:
    return load_settings(paths.config_file).host


class Ending(QObject):
    """Ctrl-C and a polite kill quit the app as its menu does.

    Python looks at signals between its own steps, and Qt's event loop takes none while nothing
    happens: what a signal writes to a socket makes it take one.
    """

    def __init__(self, application: QApplication) -> None:
        super().__init__(application)
        self._heard, self._told = socket.socketpair()
        self._heard.setblocking(False)
        self._told.setblocking(False)
        self._notifier = QSocketNotifier(self._heard.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(lambda *_: self._heard.recv(64))
        signal.set_wakeup_fd(self._told.fileno())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: application.quit())


def main(argv: Sequence[str]) -> int:
    """Run the app; returns the exit code."""
    make_lasting()
    application = QApplication(list(argv))
    application.setApplicationName("corral")
    application.setApplicationDisplayName("Corral")
    application.setDesktopFileName("corral")
    paths = find_paths()
    instance = SingleInstance(paths)
    if not instance.take():
        return 0
    app = App(application, paths)
    instance.raised.connect(app.show_window)
    Ending(application)
    app.start(is_hidden="--hidden" in argv)
    collect_here()
    return application.exec()


def entry() -> None:
    """Run the app as the frozen ``corral-app``, which has all it needs."""
    sys.exit(main(sys.argv))

"""The icon in the tray: what the daemon does, what is loaded, and the way back to the window.

Where there is no tray nothing is shown, and the window is all there is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMenu, QSystemTrayIcon

from gui.activity import ACTIVITY, Activity
from gui.icons import tray_icon
from gui.link import Link, Phase, State
from gui.settings import Settings
from gui.words import WORDS, tr
from runner.errors import CorralError


class Tray(QObject):
    """Lives as long as the app.

    Signals:
        opened: The window is wanted, at the page with this key; empty: as it is.
        left: The app shall end; whether the daemon is to end with it.
    """

    opened = Signal(str)
    left = Signal(bool)

    def __init__(self, link: Link, settings: Settings, keys: list[str]) -> None:
        """Build icon and menu.

        Args:
            link: The daemon.
            settings: Whether news are told.
            keys: The pages that there are.
        """
        super().__init__()
        self._link = link
        self._settings = settings
        self._keys = keys
        self.menu = QMenu()
        self.icon = QSystemTrayIcon(tray_icon("idle"), self)
        self.icon.setContextMenu(self.menu)
        self.icon.activated.connect(self._on_click)
        link.changed.connect(self._refresh)
        ACTIVITY.changed.connect(self._refresh)
        ACTIVITY.announced.connect(self._tell)
        WORDS.changed.connect(self._refresh)
        self._refresh()

    @property
    def is_there(self) -> bool:
        """Whether this desktop has a tray."""
        return QSystemTrayIcon.isSystemTrayAvailable()

    def show(self) -> None:
        """Show the icon, where there is a tray."""
        if self.is_there:
            self.icon.show()

    def hide(self) -> None:
        """Take the icon away: the app ends."""
        self.icon.hide()

    def _refresh(self) -> None:
        state = self._link.state
        look, percent = look_of(state, ACTIVITY)
        self.icon.setIcon(tray_icon(look, percent))
        self.icon.setToolTip(f"Corral: {words_of(look, percent)}")
        self._fill(state, words_of(look, percent))

    def _fill(self, state: State, words: str) -> None:
        menu = self.menu
        menu.clear()
        menu.addAction(words).setEnabled(False)
        self._add(menu, tr("Open chat"), lambda: self.opened.emit("chat"))
        menu.addSeparator()
        if state.running:
            for model in state.running:
                self._add_model(str(model.info.name), model.n_resident)
        else:
            menu.addAction(tr("No model in memory")).setEnabled(False)
        menu.addSeparator()
        if self._link.is_paused:
            self._add(menu, tr("Resume the server"), self._resume)
        else:
            pause = menu.addAction(tr("Pause the server"))
            pause.setEnabled(state.phase is Phase.UP)
            pause.triggered.connect(lambda _=False: self._pause())
        self._add(menu, tr("Copy address"), self._copy_address)
        for key, text in (("downloads", tr("Downloads")), ("settings", tr("Settings"))):
            if key in self._keys:
                self._add(menu, text, partial(self.opened.emit, key))
        menu.addSeparator()
        self._add(menu, tr("Quit, the daemon goes on"), lambda: self.left.emit(False))
        self._add(menu, tr("Quit and stop the daemon"), lambda: self.left.emit(True))

    def _add_model(self, name: str, n_bytes: int) -> None:
        entry = self.menu.addMenu(f"{name}   {tr('{n} GB', n=f'{n_bytes / 1e9:.1f}')}")
        self._add(entry, tr("Unload"), lambda: self._unload(name))

    def _unload(self, name: str) -> None:
        self._link.call(lambda client: client.unload(name), self._after_unload)

    def _resume(self) -> None:
        self._link.resume()
        self._refresh()

    def _pause(self) -> None:
        """Free the memory of all models: the daemon ends, and the app does not start it."""

        def failed(error: CorralError) -> None:
            ACTIVITY.announce(tr("The daemon cannot be stopped"), error.message)

        self._link.pause(failed)
        self._refresh()

    def _after_unload(self, _: bool) -> None:
        self._link.look()

    def _copy_address(self) -> None:
        QGuiApplication.clipboard().setText(self._link.address.url)

    def _on_click(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason is QSystemTrayIcon.ActivationReason.Trigger:
            self.opened.emit("")

    def _tell(self, title: str, text: str) -> None:
        if self._settings.choices.notifies and self.icon.isVisible():
            self.icon.showMessage(title, text, tray_icon("idle"))

    @staticmethod
    def _add(menu: QMenu, text: str, act: Callable[[], object]) -> None:
        menu.addAction(text).triggered.connect(lambda _=False: act())


def look_of(state: State, activity: Activity) -> tuple[str, int]:
    """Return how the icon looks, and how far a download is (-1: not shown)."""
    if state.phase is Phase.DOWN:
        return "error", -1
    if (percent := activity.download_percent) is not None:
        return "downloading", percent
    if state.phase is not Phase.UP or activity.is_loading:
        return "loading", -1
    return ("answering", -1) if state.n_active else ("idle", -1)


def words_of(look: str, percent: int) -> str:
    """Return the same in words."""
    words = {
        "idle": tr("Ready"),
        "loading": tr("Loading…"),
        "answering": tr("Answering"),
        "error": tr("The daemon does not answer"),
    }
    if look == "downloading":
        return tr("Downloading, {n} %", n=max(percent, 0))
    return words[look]

"""Which preset a chat's settings are, and a menu to keep them under a name or forget one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QMenu, QToolButton, QWidget

from gui.chats.presets import OURS, Preset, matching
from gui.icons import dress
from gui.theme import XS
from gui.widgets.ask import ask_text
from gui.words import tr


class PresetBar(QWidget):
    """Signals only; what becomes of them is the page's.

    Signals:
        chosen: The ``Preset`` to put on the chat.
        kept: A name to keep the chat's settings under.
        forgotten: The name of a preset of the user's own.
    """

    chosen = Signal(object)
    kept = Signal(str)
    forgotten = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._own: tuple[Preset, ...] = ()
        self._system = ""
        self._options: Mapping[str, Any] = {}
        self.box = QComboBox()
        self.box.activated.connect(self._choose)
        self.more = QToolButton()
        dress(self.more, "more")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu = QMenu(self)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.more.setMenu(self.menu)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(XS)
        row.addWidget(self.box, 1)
        row.addWidget(self.more)
        self.retranslate()

    def show_own(self, presets: list[Preset]) -> None:
        """Offer these beside those that come along."""
        self._own = tuple(presets)
        self._fill()

    def show_settings(self, system: str, options: Mapping[str, Any]) -> None:
        """Say which preset these settings are, if any."""
        self._system, self._options = system, options
        self._mark()

    def retranslate(self) -> None:
        """The language changed."""
        self.box.setAccessibleName(tr("Preset"))
        self.more.setToolTip(tr("Keep or forget presets"))
        self.more.setAccessibleName(tr("Keep or forget presets"))
        self._fill()

    @property
    def _all(self) -> tuple[Preset, ...]:
        return (*OURS, *self._own)

    @property
    def _current(self) -> str:
        return matching(self._all, self._system, self._options)

    def _fill(self) -> None:
        self.box.blockSignals(True)
        self.box.clear()
        for preset in self._all:
            self.box.addItem(tr(preset.name) if preset.is_ours else preset.name, preset)
        self.box.blockSignals(False)
        self._mark()

    def _mark(self) -> None:
        names = [preset.name for preset in self._all]
        current = self._current
        self.box.setPlaceholderText(tr("Settings of its own"))
        self.box.setCurrentIndex(names.index(current) if current else -1)

    def _choose(self, place: int) -> None:
        self.chosen.emit(self.box.itemData(place))

    def _fill_menu(self) -> None:
        self.menu.clear()
        self.menu.addAction(tr("Keep these settings as…")).triggered.connect(self._ask_name)
        own = next((preset for preset in self._own if preset.name == self._current), None)
        forget = self.menu.addAction(tr("Forget this preset"))
        forget.setEnabled(own is not None)
        if own is not None:
            forget.triggered.connect(lambda _=False: self.forgotten.emit(own.name))

    def _ask_name(self) -> None:
        taken = {preset.name.casefold() for preset in OURS}
        ask_text(
            self.window(),
            tr("Name of the preset"),
            tr("It keeps the system prompt and the parameters of this chat."),
            tr("Keep"),
            self.kept.emit,
            is_good=lambda text: bool(text.strip()) and text.strip().casefold() not in taken,
        )

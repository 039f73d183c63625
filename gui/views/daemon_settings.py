"""The settings of the daemon on one topic: read from it, changed in it, one line each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui.errands import Task
from gui.link import Link, Phase
from gui.models.setting_fields import fields_of, waiting
from gui.theme import S
from gui.widgets.setting_line import SettingLine
from gui.widgets.spoken import Spoken
from gui.words import sentence, tr
from runner.client.connection import decoded
from runner.client.decode_keeping import Change, KeptSettings, settings
from runner.domain.setting import SettingState
from runner.errors import CorralError


class SettingsSource(QObject):
    """Asks the daemon for its settings, for all topics together, and changes them.

    Signals:
        told: The ``KeptSettings`` as they are now.
        refused: The names that a change was about, and the ``CorralError``.
        failed: A ``CorralError``: they cannot be read.
    """

    told = Signal(object)
    refused = Signal(list, object)
    failed = Signal(object)

    def __init__(self, link: Link, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._link = link
        self._asked: Task | None = None
        self.kept: KeptSettings | None = None
        link.told.connect(self._heard)

    def refresh(self) -> None:
        """Ask for them; ``told`` follows."""
        if self._link.state.phase is Phase.UP and self._asked is None:
            self._asked = self._link.call(
                lambda client: client.settings(), self._took, self._not_read
            )

    def change(self, name: str, value: object) -> None:
        """Change one; ``None`` takes it back to the default."""
        self.change_all({name: value})

    def change_all(self, values: Mapping[str, object]) -> None:
        """Change several, all or none."""
        self._link.call(
            lambda client: client.change_settings(values),
            self._took,
            lambda error: self.refused.emit(list(values), error),
        )

    def put_secret(self, name: str, value: str | None) -> None:
        """Set a hub's token, or take it away."""
        self._link.call(
            lambda client: client.put_secret(name, value),
            lambda _: self.refresh(),
            lambda error: self.refused.emit([name], error),
        )

    def _heard(self, change: Change) -> None:
        """Somebody else may have changed them."""
        told = change.value if change.kind == "settings" else change.value.get("settings")
        if isinstance(told, dict) and change.kind in ("settings", "snapshot"):
            with contextlib.suppress(CorralError):  # the page asks for itself, and says why not
                self._took(decoded(settings, told))

    def _took(self, kept: KeptSettings) -> None:
        self._asked = None
        self.kept = kept
        self.told.emit(kept)

    def _not_read(self, error: CorralError) -> None:
        self._asked = None
        self.failed.emit(error)


class DaemonSettings(QWidget, Spoken):
    """One topic of ``models/setting_fields.py``; its card is hidden while nothing is in it."""

    def __init__(self, source: SettingsSource, topic: str, title: Callable[[], str]) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self._source = source
        self._topic = topic
        self.lines: dict[str, SettingLine] = {}
        heading = QLabel()
        heading.setProperty("role", "heading")
        self.say(heading.setText, title)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(S)
        self._column.addWidget(heading)
        source.told.connect(self._show)
        source.refused.connect(self._refused)
        if source.kept is not None:
            self._show(source.kept)

    def say_again(self) -> None:
        super().say_again()
        for line in self.lines.values():
            line.retranslate()

    def showEvent(self, event: QShowEvent) -> None:
        """A card with nothing in it is not worth its frame."""
        super().showEvent(event)
        self._frame()

    def _show(self, kept: KeptSettings) -> None:
        states = {state.name: state for state in kept.settings}
        for field in fields_of(self._topic, kept.settings):
            if field.name not in self.lines:
                line = self.lines[field.name] = SettingLine(field)
                line.changed.connect(self._source.change)
                self._column.addWidget(line)
            self.lines[field.name].show_state(states[field.name])
        self._frame()

    def _frame(self) -> None:
        if (frame := self.parentWidget()) is not None and frame.objectName() == "card":
            frame.setVisible(bool(self.lines))

    def _refused(self, names: list[str], error: CorralError) -> None:
        for name in names:
            if name in self.lines:
                self.lines[name].show_error(sentence(error))


class RestartBar(QWidget, Spoken):
    """Says that changes wait for a restart of the daemon, and offers it."""

    asked = Signal()

    def __init__(self, source: SettingsSource) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self._states: tuple[SettingState, ...] = ()
        self._text = QLabel()
        self._text.setProperty("role", "warn")
        self._text.setWordWrap(True)
        self.button = QPushButton()
        self.say(self.button.setText, lambda: tr("Start it again"))
        self.button.clicked.connect(lambda _=False: self.asked.emit())
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S)
        row.addWidget(self._text, 1)
        row.addWidget(self.button)
        source.told.connect(self._show)
        self.hide()

    def say_again(self) -> None:
        super().say_again()
        self._write()

    def _show(self, kept: KeptSettings) -> None:
        self._states = kept.settings
        self._write()

    def _write(self) -> None:
        n = len(waiting(self._states))
        self.setVisible(n > 0)
        self._text.setText(tr("Changes that wait for the next start of the daemon: {n}", n=n))

"""Other computers: whether they may use the daemon, where they find it, and their keys."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QLabel, QVBoxLayout, QWidget

from gui.link import Link
from gui.machine import own_addresses
from gui.models import lan
from gui.theme import M, S
from gui.views.daemon_settings import RestartBar, SettingsSource
from gui.views.key_panel import KeyPanel
from gui.widgets.ask import confirm
from gui.widgets.spoken import Spoken
from gui.words import sentence, tr
from runner.client.decode_keeping import KeptSettings
from runner.domain.setting import SettingState
from runner.errors import CorralError


class OthersPanel(QWidget, Spoken):
    """A switch over the setting ``host``, and the keys; ``refresh`` asks for both.

    Signals:
        failed: A title, and the ``CorralError`` to show under it.
    """

    failed = Signal(str, object)

    def __init__(self, link: Link, source: SettingsSource) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self._link = link
        self._source = source
        self._state: SettingState | None = None
        self._own: list[str] = []
        self._is_tls = False
        self.switch = QCheckBox()
        self.switch.setEnabled(False)
        self.switch.clicked.connect(self._ask)
        self.places, self.note = QLabel(), QLabel()
        for label in (self.places, self.note):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(
                Qt.TextInteractionFlag.TextSelectableByMouse
                | Qt.TextInteractionFlag.TextSelectableByKeyboard
            )
        self.note.setProperty("role", "muted")
        self.restart = RestartBar(source)
        self.restart.asked.connect(self._start_again)
        self.keys = KeyPanel(link)
        self.keys.failed.connect(self.failed)
        self.say(self.switch.setText, lambda: tr("Let other computers of the network in"))
        self.say(self.places.setAccessibleName, lambda: tr("Where others find it"))
        column = QVBoxLayout(self)
        column.setContentsMargins(0, M, S, 0)
        column.setSpacing(S)
        for widget in (self.switch, self.places, self.note, self.restart):
            column.addWidget(widget)
        column.addSpacing(M)
        column.addWidget(self.keys)
        column.addStretch()
        source.told.connect(self._took)
        source.refused.connect(self._refused)
        self._write()

    @property
    def is_known(self) -> bool:
        """Whether the daemon has told the setting."""
        return self._state is not None

    def refresh(self) -> None:
        """Ask for the setting, the keys, and the machine's own addresses."""
        self._source.refresh()
        self.keys.refresh()
        self._link.call(lambda _: own_addresses(), self._took_own)

    def say_again(self) -> None:
        super().say_again()
        self.keys.say_again()
        self.restart.say_again()
        self._write()

    def _took(self, kept: KeptSettings) -> None:
        self._state = next((one for one in kept.settings if one.name == lan.NAME), None)
        self._is_tls = any(one.name == "tls_cert" and one.value for one in kept.settings)
        self._write()

    def _took_own(self, own: list[str]) -> None:
        self._own = own
        self._write()

    def _refused(self, names: list[str], error: CorralError) -> None:
        if lan.NAME in names:
            self._write()
            self.note.setText(sentence(error))

    def _ask(self, is_wanted: bool) -> None:
        """Others are let in only after a second thought."""
        self._write()  # as it is, until the daemon says otherwise
        if not is_wanted:
            self._change(is_wanted)
            return
        confirm(
            self,
            tr("Let other computers in?"),
            tr(
                "Whoever reaches this computer over its networks can then ask the models, with a"
                " key made below. What they ask travels unencrypted unless a certificate is set."
            ),
            tr("Let them in"),
            lambda: self._change(True),
        )

    def _change(self, is_open: bool) -> None:
        if self._state is not None:
            self._source.change(lan.NAME, lan.switched(self._state.value, is_open))

    def _start_again(self) -> None:
        title = tr("The daemon cannot be stopped")
        self._link.call(
            lambda client: client.shutdown(),
            lambda _: self._link.look(),
            lambda error: self.failed.emit(title, error),
        )

    def _write(self) -> None:
        state = self._state
        is_fixed = state is not None and state.source == "environment"
        self.switch.setEnabled(state is not None and not is_fixed)
        is_open = state is not None and lan.is_open(state.value)
        self.switch.setChecked(is_open)
        value = state.value if state is not None else ""
        found = lan.places(value, self._own, is_tls=self._is_tls) if value else []
        self.places.setText("\n".join(found))
        self.places.setVisible(bool(found))
        if state is not None and is_fixed:
            note = tr("{name} in the daemon's environment has it.", name=state.variable)
        elif is_open:
            note = tr("Others need one of the keys below; programs of this computer do not.")
        else:
            note = tr("Only programs of this computer reach it now.")
        self.note.setText(note)

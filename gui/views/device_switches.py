"""A box for each accelerator: whether models may use it, as the setting ``devices`` has it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from PySide6.QtWidgets import QCheckBox, QLabel, QVBoxLayout, QWidget

from gui.models import device_switch
from gui.theme import S
from gui.views.daemon_settings import SettingsSource
from gui.widgets.spoken import Spoken
from gui.words import tr
from runner.client.decode_keeping import KeptSettings
from runner.domain.machine import Device
from runner.domain.setting import SettingState
from runner.errors import CorralError


class DeviceSwitches(QWidget, Spoken):
    """Hidden where there is nothing to switch, or the daemon does not tell its settings."""

    def __init__(self, source: SettingsSource) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self._source = source
        self._state: SettingState | None = None
        self.boxes: dict[str, QCheckBox] = {}
        self.note = QLabel()
        self.note.setWordWrap(True)
        self.note.setProperty("role", "muted")
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(S)
        self._column.addWidget(self.note)
        source.told.connect(self._took)
        source.refused.connect(self._refused)
        self._write()

    def show_devices(self, devices: Iterable[Device]) -> None:
        """Have a box for each device that can be left out, those left out now among them."""
        for device in device_switch.switchable(devices):
            if device.id not in self.boxes:
                box = self.boxes[device.id] = QCheckBox()
                name = device.name or device.id
                self.say(box.setText, partial(tr, "Models may use {name}", name=name))
                box.clicked.connect(lambda on, one=device.id: self._switch(one, on))
                self._column.insertWidget(self._column.count() - 1, box)
        self._write()

    def say_again(self) -> None:
        super().say_again()
        self._write()

    def _took(self, kept: KeptSettings) -> None:
        found = (state for state in kept.settings if state.name == device_switch.NAME)
        self._state = next(found, None)
        self._write()

    def _refused(self, names: list[str], error: CorralError) -> None:
        if device_switch.NAME in names:
            self._write()
            self.note.setText(" ".join(text for text in (error.message, error.hint) if text))

    def _switch(self, device_id: str, is_on: bool) -> None:
        if self._state is not None:
            wanted = device_switch.switched(self._state.value, device_id, is_on, self.boxes)
            self._source.change(device_switch.NAME, wanted or None)

    def _write(self) -> None:
        state = self._state
        self.setVisible(state is not None and bool(self.boxes))
        if state is None:
            return
        is_fixed = state.source == "environment"
        for device_id, box in self.boxes.items():
            box.setChecked(device_switch.is_on(state.value, device_id))
            box.setEnabled(not is_fixed)
        note = tr("Holds when the daemon starts again.") if state.is_pending else ""
        if is_fixed:
            note = tr("{name} in the daemon's environment has it.", name=state.variable)
        self.note.setText(note)
        self.note.setVisible(bool(note))

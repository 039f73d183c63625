"""One setting of the daemon: its name, its value to change, and what there is to know about it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui.icons import dress
from gui.models.setting_fields import SettingField, chosen
from gui.theme import XS, M, S
from gui.words import tr
from runner.domain.setting import SettingState

_NAME_WIDTH, _VALUE_WIDTH = 210, 240


class SettingLine(QWidget):
    """Shows what ``show_state`` was last given.

    Signals:
        changed: The setting's name and its new value; ``None``: the default again.
    """

    changed = Signal(str, object)

    def __init__(self, field: SettingField) -> None:
        super().__init__()
        self.field = field
        self._state: SettingState | None = None
        self._name, self._words, self._note = QLabel(), QLabel(), QLabel()
        self._name.setFixedWidth(_NAME_WIDTH)
        self._name.setWordWrap(True)
        for label in (self._words, self._note):
            label.setProperty("role", "small")
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self._text, self._box = QLineEdit(), QComboBox()
        self._editor: QWidget = self._box if field.choices else self._text
        self._editor.setFixedWidth(_VALUE_WIDTH)
        self._name.setBuddy(self._editor)
        self._text.editingFinished.connect(lambda: self._offer(self._text.text()))
        self._box.setEditable(field.is_open)
        self._box.activated.connect(lambda _: self._offer(self._chosen()))
        self._back = QToolButton()
        dress(self._back, "retry", "muted")
        self._back.clicked.connect(lambda: self.changed.emit(self.field.name, None))
        self._lay_out()
        self.retranslate()

    @property
    def editor(self) -> QLineEdit | QComboBox:
        """Where the value is changed."""
        return self._box if self.field.choices else self._text

    def show_state(self, state: SettingState) -> None:
        """Show the setting as it is; what is being typed stays."""
        self._state = state
        self._fill()
        is_fixed = state.source == "environment"
        self._editor.setEnabled(not is_fixed)
        self._back.setVisible(state.source == "file")
        note = ""
        if is_fixed:
            note = tr("{name} in the daemon's environment has it.", name=state.variable)
        elif state.is_pending:
            note = tr("Holds when the daemon starts again.")
        self._tell(note, "warn" if state.is_pending else "small")

    def show_error(self, text: str) -> None:
        """Say why the value was refused; it stays to be mended."""
        self._tell(text, "bad")

    def retranslate(self) -> None:
        """The language changed."""
        field = self.field
        self._name.setText(tr(field.label))
        self._words.setText(tr(field.words))
        self._editor.setAccessibleName(tr(field.label))
        self._editor.setAccessibleDescription(tr(field.words))
        self._back.setToolTip(tr("Back to the default"))
        self._back.setAccessibleName(tr("{name}: back to the default", name=tr(field.label)))
        self._box.blockSignals(True)
        self._box.clear()
        for value, words in field.choices:
            self._box.addItem(tr(words), value)
        self._box.blockSignals(False)
        if self._state is not None:
            self.show_state(self._state)

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.setSpacing(S)
        top.addWidget(self._editor)
        top.addWidget(self._back)
        top.addStretch()
        self._back.hide()
        right = QVBoxLayout()
        right.setSpacing(XS)
        right.addLayout(top)
        right.addWidget(self._words)
        right.addWidget(self._note)
        self._note.hide()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, S)
        row.setSpacing(M)
        row.addWidget(self._name, 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(right, 1)

    def _fill(self) -> None:
        state = self._state
        assert state is not None
        if not self.field.choices:
            if not self._text.isModified():
                self._text.setText(state.value)
                self._text.setCursorPosition(0)
            self._text.setPlaceholderText(state.default or tr("none"))
            return
        value = chosen(self.field, state.value)
        place = self._box.findData(value)
        if place < 0:
            self._box.addItem(value, value)
            place = self._box.count() - 1
        self._box.setCurrentIndex(place)

    def _chosen(self) -> str:
        data = self._box.currentData()
        typed = self._box.currentText().strip()
        is_typed = self._box.isEditable() and typed != self._box.itemText(self._box.currentIndex())
        return typed if is_typed else str(data)

    def _offer(self, text: str) -> None:
        state = self._state
        text = text.strip()
        self._text.setModified(False)
        if state is None or text == state.value:
            return
        self.changed.emit(self.field.name, text if text or self.field.choices else None)

    def _tell(self, text: str, role: str) -> None:
        self._note.setText(text)
        self._note.setVisible(bool(text))
        self._note.setProperty("role", role)
        self._note.style().unpolish(self._note)
        self._note.style().polish(self._note)

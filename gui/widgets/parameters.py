"""How a chat's model is to answer: its system prompt and its options.

An empty field means the model's own default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QSize, Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import (
    QFormLayout,
    QFrame,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from gui.chats.presets import Preset
from gui.theme import THEME, M, S
from gui.widgets.preset_bar import PresetBar
from gui.words import tr
from runner.domain.options import parse_option
from runner.errors import CorralError

#: Option and its name in English; the hint is what applies when the field is empty.
_FIELDS = (
    ("temperature", "Temperature"),
    ("top_p", "Top P"),
    ("top_k", "Top K"),
    ("min_p", "Min P"),
    ("repeat_penalty", "Repeat penalty"),
    ("num_ctx", "Context tokens"),
    ("num_predict", "Most tokens of an answer"),
    ("seed", "Seed"),
)
_SETTLE_MS = 500
#: Pixels that the panel is wide at least, and the same in sizes of the type.
_WIDTH, _WIDTH_TYPES = 300, 15
#: Pixels of type above which a name and its field have no room side by side.
_LARGE_PX = 17


class Parameters(QScrollArea):
    """The panel beside a chat.

    Signals:
        changed: The system prompt and the options as they are now; a field whose text is not valid
            counts as what it last was.

    Attributes:
        presets: Where a preset is chosen or kept.
    """

    changed = Signal(str, dict)

    def __init__(self) -> None:
        super().__init__()
        self.presets = PresetBar()
        self.presets.chosen.connect(self._put_on)
        self._title, self._system_name = QLabel(), QLabel()
        self._title.setProperty("role", "heading")
        self._system_name.setProperty("role", "muted")
        self._system = QPlainTextEdit()
        self._system.setTabChangesFocus(True)
        self._system.setFixedHeight(150)
        self._system.textChanged.connect(self._on_words)
        self._fields = {name: QLineEdit() for name, _ in _FIELDS}
        self._names = {name: QLabel() for name, _ in _FIELDS}
        self._stop = QLineEdit()
        self._stop_name, self._wrong = QLabel(), QLabel()
        self._wrong.setProperty("role", "bad")
        self._wrong.setWordWrap(True)
        self._wrong.hide()
        self._reset = QPushButton()
        self._reset.clicked.connect(self._clear)
        form = self._form = QFormLayout()
        form.setSpacing(S)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for name, field in self._fields.items():
            form.addRow(self._names[name], field)
            field.textChanged.connect(self._on_edit)
        form.addRow(self._stop_name, self._stop)
        self._stop.textChanged.connect(self._on_words)
        inner = QWidget()
        inner.setObjectName("panel")
        column = QVBoxLayout(inner)
        column.setContentsMargins(M, M, M, M)
        column.setSpacing(S)
        for widget in (self._title, self.presets, self._system_name, self._system):
            column.addWidget(widget)
        column.addSpacing(S)
        column.addLayout(form)
        column.addWidget(self._wrong)
        column.addWidget(self._reset)
        column.addStretch()
        self.setWidget(inner)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self._tell)
        self._is_filling, self._right = False, dict[str, Any]()  # what each field last was
        THEME.changed.connect(self._fit)
        self._fit()
        self.retranslate()

    def sizeHint(self) -> QSize:
        """As wide as its words need."""
        return QSize(self.minimumWidth(), super().sizeHint().height())

    def fill(self, system: str, options: Mapping[str, Any]) -> None:
        """Show a chat's settings; what was typed for another one is told first."""
        self.flush()
        self._is_filling = True
        self._system.setPlainText(system)
        for name, field in self._fields.items():
            field.setText("" if options.get(name) is None else f"{options[name]}")
        self._stop.setText(" ".join(options.get("stop") or ()))
        self._is_filling = False
        known = {name: options.get(name) for name in self._fields}
        self._right = {name: value for name, value in known.items() if value is not None}
        for field in self._fields.values():
            _mark(field, is_wrong=False)
        self._wrong.hide()
        self.presets.show_settings(system, options)

    def flush(self) -> None:
        """Tell now what was typed last."""
        if self._settle.isActive():
            self._settle.stop()
            self._tell()

    @property
    def names(self) -> set[str]:
        """The options that have a field here."""
        return {*self._fields, "stop"}

    @property
    def is_right(self) -> bool:
        """Whether every field held a value it may have when they were looked at last."""
        return self._wrong.isHidden()

    def retranslate(self) -> None:
        """The language changed."""
        self._title.setText(tr("Parameters"))
        self.setAccessibleName(tr("Parameters"))
        self._system_name.setText(tr("System prompt"))
        self._system.setAccessibleName(tr("System prompt"))
        self._system.setPlaceholderText(tr("How the model is to answer, in your words"))
        for name, text in _FIELDS:
            self._names[name].setText(tr(text))
            self._fields[name].setAccessibleName(tr(text))
            self._fields[name].setPlaceholderText(tr("default"))
        self._stop_name.setText(tr("Stop at"))
        self._stop.setAccessibleName(tr("Stop at"))
        self._stop.setPlaceholderText(tr("words, with spaces between"))
        self._reset.setText(tr("Back to the defaults"))
        self.presets.retranslate()

    @Slot()
    def _fit(self) -> None:
        """Larger type needs more room, and then a line each for a name and its field."""
        self.setMinimumWidth(max(_WIDTH, _WIDTH_TYPES * THEME.font_px))
        policy = QFormLayout.RowWrapPolicy
        is_large = THEME.font_px > _LARGE_PX
        self._form.setRowWrapPolicy(policy.WrapAllRows if is_large else policy.DontWrapRows)

    def _put_on(self, preset: Preset) -> None:
        """A preset was chosen: its settings take the place of all."""
        self.fill(preset.system, preset.options)
        self.changed.emit(preset.system, dict(preset.options))

    def _on_edit(self) -> None:
        if not self._is_filling:
            self._settle.start()

    def _on_words(self) -> None:
        """Words are right at any moment, so who types without a pause is kept too."""
        if not self._is_filling and not self._settle.isActive():
            self._settle.start()

    def _clear(self) -> None:
        for field in (*self._fields.values(), self._stop):
            field.clear()
        self._system.clear()

    def _tell(self) -> None:
        wrong = ""
        for name, text in _FIELDS:
            field = self._fields[name]
            value, message = _value(name, field.text())
            _mark(field, is_wrong=bool(message))
            if message:
                wrong = wrong or f"{tr(text)}: {message}"
            elif value is None:
                self._right.pop(name, None)
            else:
                self._right[name] = value
        options = dict(self._right)
        if stops := self._stop.text().split():
            options["stop"] = stops
        self._wrong.setText(wrong)
        self._wrong.setVisible(bool(wrong))
        self.presets.show_settings(self._system.toPlainText(), options)
        self.changed.emit(self._system.toPlainText(), options)


def _mark(field: QLineEdit, *, is_wrong: bool) -> None:
    if field.property("wrong") != is_wrong:
        field.setProperty("wrong", is_wrong)
        field.style().unpolish(field)
        field.style().polish(field)


def _value(name: str, text: str) -> tuple[int | float | bool | str | None, str]:
    """Return an option's value, or why there is none; an empty text is neither."""
    text = text.strip().replace(",", ".")
    if not text:
        return None, ""
    try:
        number = float(text) if any(c in text for c in ".eE") else int(text)
    except (ValueError, OverflowError):
        return None, tr("this is not a number")
    try:
        return parse_option(name, number), ""
    except CorralError as error:
        return None, error.message

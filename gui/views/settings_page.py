"""Settings of the app: how it looks and speaks, where things are, and what it may tell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from gui.diagnostics import write_report
from gui.pages import House
from gui.settings import Choices
from gui.theme import L, M, S
from gui.views.sheet import Sheet, card, scrolled
from gui.widgets.ask import ask_text
from gui.words import LANGUAGES, tr
from runner.errors import StoreError

_THEMES: tuple[tuple[str, str], ...] = (
    ("", "As the system"),
    ("light", "Light"),
    ("dark", "Dark"),
    ("contrast", "High contrast"),
)


class SettingsPage(Sheet):
    """Every change holds at once."""

    key = "settings"
    title = "Settings"
    glyph = "settings"

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.theme, self.language = QComboBox(), QComboBox()
        self.font_px = QSpinBox()
        self.font_px.setRange(10, 32)
        self.font_px.setSuffix(" px")
        self.dense, self.notifies = QCheckBox(), QCheckBox()
        body = QWidget()
        self._body = QVBoxLayout(body)
        self._body.setContentsMargins(0, 0, S, 0)
        self._body.setSpacing(M)
        self._add_appearance()
        self._add_folders()
        self._add_privacy()
        self._add_reset()
        self._body.addStretch()
        self.column.addWidget(scrolled(body), 1)
        self.show_choices(house.settings.choices)
        house.settings.changed.connect(self.show_choices)
        self._connect()

    def show_choices(self, choices: Choices) -> None:
        """Show what is chosen; changes nothing."""
        boxes = (self.theme, self.language, self.font_px, self.dense, self.notifies)
        for box in boxes:
            box.blockSignals(True)
        self.theme.setCurrentIndex(max(0, self.theme.findData(choices.theme)))
        self.language.setCurrentIndex(max(0, self.language.findData(choices.language)))
        self.font_px.setValue(choices.font_px)
        self.dense.setChecked(choices.is_dense)
        self.notifies.setChecked(choices.notifies)
        for box in boxes:
            box.blockSignals(False)

    def export_diagnostics(self, path: Path) -> None:
        """Write the report there, on another thread."""
        paths, version = self.link.paths, self.link.state.version

        def write(_: object) -> None:
            try:
                write_report(path, paths, version)
            except OSError as error:
                raise StoreError(f"cannot write {path}: {error.strerror}") from None

        self.link.call(
            write,
            lambda _: self.banner.show_note(tr("Written to {path}", path=path)),
            self.act_failed(tr("The report cannot be written")),
        )

    def _connect(self) -> None:
        change = self.house.settings.change
        self.theme.activated.connect(lambda _: change(theme=self.theme.currentData()))
        self.language.activated.connect(lambda _: change(language=self.language.currentData()))
        self.font_px.valueChanged.connect(lambda value: change(font_px=value))
        self.dense.toggled.connect(lambda is_on: change(is_dense=is_on))
        self.notifies.toggled.connect(lambda is_on: change(notifies=is_on))

    def _add_appearance(self) -> None:
        form = self._section(lambda: tr("Appearance"))
        for value, words in _THEMES:
            self._add_item(self.theme, value, partial(tr, words))
        self._add_item(self.language, "", lambda: tr("As the system"))
        for value, name in LANGUAGES.items():
            self.language.addItem(name, value)
        self._row(form, lambda: tr("Theme"), self.theme)
        self._row(form, lambda: tr("Language"), self.language)
        self._row(form, lambda: tr("Size of text"), self.font_px)
        self.say(self.dense.setText, lambda: tr("Rows stand closer"))
        self.say(self.notifies.setText, lambda: tr("Tell when a download or an answer is done"))
        form.addRow("", self.dense)
        form.addRow("", self.notifies)

    def _add_folders(self) -> None:
        form = self._section(lambda: tr("Folders"))
        paths = self.link.paths
        folders: tuple[tuple[Callable[[], str], Path], ...] = (
            (lambda: tr("Models"), paths.models),
            (lambda: tr("Logs"), paths.logs),
            (lambda: tr("The app's own"), self.house.settings.folder),
            (lambda: tr("Settings of the daemon"), paths.config_file.parent),
        )
        for text, folder in folders:
            field = QLineEdit(str(folder))
            field.setReadOnly(True)
            field.setCursorPosition(0)
            opener = QPushButton()
            self.say(opener.setText, lambda: tr("Open"))
            opener.clicked.connect(
                lambda _=False, folder=folder: QDesktopServices.openUrl(
                    QUrl.fromLocalFile(str(folder))
                )
            )
            self.say(field.setAccessibleName, text)
            self.say(
                opener.setAccessibleName,
                partial(_open_words, text),
            )
            self._row(form, text, _side_by_side(field, opener))
        form.addRow(
            self.label(
                lambda: tr("CORRAL_HOME moves them all, CORRAL_MODELS the models alone."), "muted"
            )
        )

    def _add_privacy(self) -> None:
        form = self._section(lambda: tr("Privacy"))
        form.addRow(
            self.label(
                lambda: tr(
                    "Nothing is sent anywhere: chats and answers stay on this machine, and hubs"
                    " are asked only for what you search and download."
                ),
                "muted",
            )
        )
        export = self.button(lambda: tr("Export diagnostics…"), self._choose_report)
        form.addRow(_at_left(export))
        form.addRow(
            self.label(
                lambda: tr("Versions, settings and the log; no chats, and secrets removed."),
                "muted",
            )
        )

    def _add_reset(self) -> None:
        form = self._section(lambda: tr("Reset"))
        form.addRow(
            self.label(
                lambda: tr("Forgets the choices on this page. Chats and models stay."), "muted"
            )
        )
        form.addRow(
            _at_left(self.button(lambda: tr("Reset the app…"), self._ask_reset, role="danger"))
        )

    def _ask_reset(self) -> None:
        word = tr("reset")
        ask_text(
            self,
            tr("Reset the app?"),
            tr("Type “{word}” to forget the app's choices.", word=word),
            tr("Reset"),
            lambda _: self.house.settings.reset(),
            is_good=lambda text: text.strip().casefold() == word.casefold(),
            is_danger=True,
        )

    def _choose_report(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, tr("Export diagnostics…"), "corral-diagnostics.txt"
        )
        if path:
            self.export_diagnostics(Path(path))

    def _section(self, text: Callable[[], str]) -> QFormLayout:
        frame, column = card(spacing=M)
        column.addWidget(self.label(text, "heading"))
        form = QFormLayout()
        form.setHorizontalSpacing(L)
        form.setVerticalSpacing(S)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        column.addLayout(form)
        self._body.addWidget(frame)
        return form

    def _row(self, form: QFormLayout, text: Callable[[], str], field: QWidget) -> None:
        name = QLabel()
        name.setMinimumWidth(150)
        name.setBuddy(field)
        self.say(name.setText, text)
        if isinstance(field, QComboBox | QSpinBox):
            self.say(field.setAccessibleName, text)
            field.setMaximumWidth(280)
        form.addRow(name, field)

    def _add_item(self, box: QComboBox, value: str, text: Callable[[], str]) -> None:
        box.addItem("", value)
        at = box.count() - 1
        self.say(partial(box.setItemText, at), text)


def _side_by_side(wide: QWidget, narrow: QWidget) -> QWidget:
    both = QWidget()
    row = QHBoxLayout(both)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(S)
    row.addWidget(wide, 1)
    row.addWidget(narrow)
    both.setFocusProxy(wide)
    return both


def _at_left(widget: QWidget) -> QWidget:
    whole = QWidget()
    row = QHBoxLayout(whole)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(widget)
    row.addStretch()
    return whole


def _open_words(name: Callable[[], str]) -> str:
    return tr("Open the folder: {name}", name=name())

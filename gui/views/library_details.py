"""The pane beside the library: all that ``show`` tells of the model that is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from gui import figures, icons
from gui.link import Link
from gui.models.library_table import LibraryRow, stay
from gui.models.load_stage import stage_text
from gui.models.model_facts import facts_of
from gui.models.table import Column, Sorted, Table
from gui.theme import L, M, S
from gui.views.sheet import scrolled
from gui.views.tensors_tab import TensorsTab
from gui.widgets.content import Content
from gui.widgets.flow import Flow
from gui.widgets.grid import Grid
from gui.widgets.measured_panel import MeasuredPanel
from gui.widgets.spoken import Spoken
from gui.words import tr
from runner.client.decode import ShownModel
from runner.errors import CorralError

#: Longest piece of a value that a cell shows.
_MAX_CELL = 300


@dataclass(frozen=True, slots=True)
class Fact:
    """A key of the file's metadata and its value, in words."""

    key: str
    value: str


def metadata_facts(metadata: Mapping[str, Any]) -> list[Fact]:
    """Return the metadata as rows; long values are cut for showing."""
    return [Fact(key, _shown(value)) for key, value in metadata.items()]


def fact_table() -> Table[Fact]:
    """Return an empty table of metadata."""
    columns: tuple[Column[Fact], ...] = (
        Column("Key", lambda f: f.key, tip=lambda f: f.key),
        Column("Value", lambda f: f.value, tip=lambda f: f.value),
    )
    return Table[Fact](columns, key=lambda fact: fact.key)


class LibraryDetails(QWidget, Spoken):
    """Facts, parameters, template, metadata and Modelfile; buttons for what can be done.

    Signals:
        asked: A verb and the row: ``load``, ``keep``, ``unload``, ``chat``, ``copy``, ``more``,
            ``edit`` or ``delete``.
    """

    asked = Signal(str, object)

    def __init__(self, link: Link) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self.row: LibraryRow | None = None
        self._shown: ShownModel | None = None
        self._name = QLabel()
        self._name.setProperty("role", "heading")
        self._name.setWordWrap(True)
        self._name.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._state = QLabel()
        self._state.setProperty("role", "muted")
        self._state.setWordWrap(True)
        self._buttons: dict[str, QPushButton] = {}
        self._facts = QFormLayout()
        self._template, self._modelfile, self._license = (_reader() for _ in range(3))
        self._edit = QPushButton()
        icons.dress(self._edit, "edit")
        self.say(self._edit.setText, lambda: tr("Edit…"))
        self._edit.clicked.connect(lambda _=False: self.asked.emit("edit", self.row))
        self._metadata = fact_table()
        self._found = Sorted(self._metadata, self)
        self.measured = MeasuredPanel(link)
        self.tensors = TensorsTab(link)
        self.tabs = QTabWidget()
        self.content = Content(self.tabs)
        self._fill_tabs()
        column = QVBoxLayout(self)
        column.setContentsMargins(L, 0, 0, 0)
        column.setSpacing(S)
        column.addWidget(self._name)
        column.addWidget(self._state)
        column.addLayout(self._actions())
        column.addWidget(self.content, 1)

    def show_row(self, row: LibraryRow | None) -> None:
        """Say which model this is about; what ``show`` tells follows by ``show_model``."""
        self.row = row
        self.setVisible(row is not None)
        if row is None:
            return
        self._name.setText(row.name)
        self._state.setText(_state_line(row))
        is_loaded = row.running is not None
        is_there = is_loaded or row.is_loading  # unloading breaks a load off
        self._buttons["load"].setVisible(not is_there)
        self._buttons["unload"].setVisible(is_there)
        self._buttons["keep"].setEnabled(not row.is_loading)

    def show_loading(self) -> None:
        """The model's details are being asked for."""
        self.content.show_loading(tr("Reading the model…"))

    def show_model(self, shown: ShownModel) -> None:
        """Show what the daemon told."""
        self._shown = shown
        details = shown.details
        self._fill_facts(shown)
        self._template.setPlainText(details.template or tr("This file has no chat template."))
        self._modelfile.setPlainText(shown.modelfile)
        self._license.setPlainText(details.license or tr("No licence is told."))
        self._metadata.set_rows(metadata_facts(details.metadata))
        self.content.show_body()
        if self.row is not None:
            self.tensors.set_model(self.row.name)
        self._ask_measured()

    def show_error(self, error: CorralError) -> None:
        """The model could not be read."""
        self.content.show_error(tr("This model cannot be read"), error)

    def menu_place(self) -> QPoint:
        """Return where the menu of further verbs opens, on the screen."""
        button = self._buttons["more"]
        return button.mapToGlobal(QPoint(0, button.height()))

    def say_again(self) -> None:
        super().say_again()
        self.measured.say_again()
        self.tensors.say_again()
        if self.row is not None:
            self.show_row(self.row)
        if self._shown is not None:
            self._fill_facts(self._shown)

    def _actions(self) -> Flow:
        row = Flow()
        for verb, glyph, text in (
            ("chat", "chat", lambda: tr("Chat")),
            ("load", "", lambda: tr("Load")),
            ("unload", "", lambda: tr("Unload")),
            ("keep", "pin", lambda: tr("Keep in memory")),
            ("copy", "copy", lambda: tr("Second name…")),
            ("more", "more", lambda: tr("More")),
            ("delete", "trash", lambda: tr("Delete…")),
        ):
            button = QPushButton()
            if glyph:
                icons.dress(button, glyph)
            if verb in ("keep", "copy", "more", "delete"):
                self.say(button.setToolTip, text)
                self.say(button.setAccessibleName, text)
            else:
                self.say(button.setText, text)
            button.clicked.connect(lambda _=False, verb=verb: self.asked.emit(verb, self.row))
            self._buttons[verb] = button
            row.addWidget(button)
        self.say(
            self._buttons["keep"].setToolTip,
            lambda: tr("Load it, and keep it until it is unloaded"),
        )
        return row

    def _fill_tabs(self) -> None:
        facts = QWidget()
        facts.setLayout(self._facts)
        self._facts.setContentsMargins(0, M, M, M)
        self._facts.setHorizontalSpacing(L)
        self._facts.setVerticalSpacing(S)
        self._facts.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        self._facts.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        grid = Grid(self._found, stretched=1, widths=(230,))
        search = QLineEdit()
        search.setClearButtonEnabled(True)
        search.textChanged.connect(self._found.search)
        self.say(search.setPlaceholderText, lambda: tr("Search the metadata"))
        self.say(search.setAccessibleName, lambda: tr("Search the metadata"))
        metadata = QWidget()
        column = QVBoxLayout(metadata)
        column.setContentsMargins(0, M, 0, 0)
        column.setSpacing(S)
        column.addWidget(search)
        column.addWidget(grid)
        for widget, text in (
            (scrolled(facts), lambda: tr("Facts")),
            (self._with_copy(self._template), lambda: tr("Template")),
            (metadata, lambda: tr("Metadata")),
            (self.tensors, lambda: tr("Tensors")),
            (self._measured_tab(), lambda: tr("Measured")),
            (self._with_copy(self._modelfile, self._edit), lambda: tr("Modelfile")),
            (self._with_copy(self._license), lambda: tr("Licence")),
        ):
            at = self.tabs.addTab(widget, "")
            self.say(partial(self.tabs.setTabText, at), text)
            for one in (widget, *widget.findChildren(QPlainTextEdit), *widget.findChildren(Grid)):
                self.say(one.setAccessibleName, text)

    def _measured_tab(self) -> QWidget:
        self._measured_page = scrolled(self.measured)
        self.tabs.currentChanged.connect(lambda _: self._ask_measured())
        return self._measured_page

    def _ask_measured(self) -> None:
        """Ask what was measured, once somebody looks."""
        if self.row is not None and self.tabs.currentWidget() is self._measured_page:
            self.measured.show_model(self.row.name)

    def _with_copy(self, reader: QPlainTextEdit, *more: QPushButton) -> QWidget:
        button = QPushButton()
        icons.dress(button, "copy")
        self.say(button.setText, lambda: tr("Copy"))
        button.clicked.connect(
            lambda _=False: QGuiApplication.clipboard().setText(reader.toPlainText())
        )
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, M, 0, 0)
        column.setSpacing(S)
        row = QHBoxLayout()
        row.setSpacing(S)
        row.addStretch()
        for one in (*more, button):
            row.addWidget(one)
        column.addWidget(reader, 1)
        column.addLayout(row)
        return page

    def _fill_facts(self, shown: ShownModel) -> None:
        while self._facts.rowCount():
            self._facts.removeRow(0)
        for title, text in facts_of(shown, self.row):
            name = QLabel(title)
            name.setProperty("role", "muted")
            value = QLabel(text)
            value.setTextFormat(Qt.TextFormat.PlainText)  # a file's own words are not markup
            value.setWordWrap(True)
            value.setTextInteractionFlags(
                Qt.TextInteractionFlag.TextSelectableByMouse
                | Qt.TextInteractionFlag.TextSelectableByKeyboard
            )
            self._facts.addRow(name, value)


def _state_line(row: LibraryRow) -> str:
    if row.is_loading:
        return stage_text(row.load)
    if row.running is None:
        return tr("{size} on disk, not in memory", size=figures.size(row.info.n_bytes))
    return tr(
        "{size} in memory {time}, context of {n} tokens",
        time=stay(row),
        size=figures.size(row.running.n_resident),
        n=figures.grouped(row.running.n_ctx),
    )


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MAX_CELL else f"{text[:_MAX_CELL]}…"


def _reader() -> QPlainTextEdit:
    reader = QPlainTextEdit()
    reader.setReadOnly(True)
    reader.setTabChangesFocus(True)
    reader.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
    reader.setStyleSheet("font-family: monospace;")
    return reader

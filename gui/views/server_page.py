"""The server: its address, programs to copy, the requests that run, and its log."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from gui.link import Phase, State
from gui.models.request_table import request_table
from gui.models.table import Sorted
from gui.pages import House
from gui.snippets import snippets
from gui.theme import M, S
from gui.views.daemon_settings import SettingsSource
from gui.views.log_view import LogView
from gui.views.others_panel import OthersPanel
from gui.views.sheet import Sheet, card, scrolled
from gui.widgets.grid import Grid
from gui.words import tr
from runner.domain.model import ModelInfo
from runner.domain.running import RunningRequest
from runner.errors import CorralError

_LOOK_MS = 1000


class ServerPage(Sheet):
    """Works while the daemon does not answer as well: its log then says why."""

    title = "Server"

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.address = QLineEdit(self.link.address.url)
        self.address.setReadOnly(True)
        self.state = QLabel()
        self.model = QComboBox()
        self.model.setMinimumWidth(220)
        self.model.activated.connect(lambda _: self._write_snippets())
        self.requests = request_table()
        self.grid = Grid(Sorted(self.requests, self), widths=(220, 150, 90, 90, 90, 80, 100, 140))
        self.grid.sortByColumn(1, Qt.SortOrder.AscendingOrder)
        self.grid.deleted_row.connect(self._abort)
        self.abort = self.button(
            lambda: tr("End the request"), lambda: self._abort(self.grid.current), role="danger"
        )
        self.abort.setEnabled(False)
        self.grid.chosen.connect(lambda row: self.abort.setEnabled(row is not None))
        self._is_known = False  # whether the daemon has told its requests
        self.quiet = self.label(self._quiet_words, "muted")
        self.how = self.button(
            lambda: tr("Use it from a program"), lambda: self.show_part("snippets")
        )
        self.log = LogView(self.link)
        self.snippets = QTabWidget()
        self._readers: list[QPlainTextEdit] = []
        self.tabs = QTabWidget()
        self._parts: dict[str, int] = {}
        self.source = SettingsSource(self.link, self)
        self.others = OthersPanel(self.link, self.source)
        self._build()
        self._write_snippets()
        self.every(_LOOK_MS)

    def refresh(self) -> None:
        """Ask for the requests; for the models once."""
        self.link.call(lambda client: client.requests(), self._took, self._failed)
        if self.model.count() == 0:
            self.link.call(lambda client: client.list_models(), self._took_models)
        if not self.others.is_known:
            self.others.refresh()
        self.log.refresh()

    def show_part(self, part: str) -> None:
        """``requests``, ``snippets``, ``log`` or ``others``."""
        self.tabs.setCurrentIndex(self._parts.get(part, self.tabs.currentIndex()))

    def entered(self) -> None:
        self.model.clear()
        super().entered()
        self.log.refresh()
        if self.is_up:
            self.others.refresh()

    def show_down(self, error: CorralError) -> None:
        self._show_state(self.link.state)
        self.banner.show_error(tr("The daemon does not answer"), error)
        self.requests.set_rows([])
        self._show_requests()
        self.log.refresh()

    def state_changed(self, state: State) -> None:
        self._show_state(state)
        if state.phase is Phase.UP:
            self.banner.hide()

    def retranslate(self) -> None:
        super().retranslate()
        self.log.say_again()
        self.others.say_again()
        self._show_state(self.link.state)

    def _build(self) -> None:
        frame, column = card()
        row = QHBoxLayout()
        row.setSpacing(S)
        row.addWidget(self.label(lambda: tr("Address")))
        row.addWidget(self.address, 1)
        row.addWidget(self.button(lambda: tr("Copy"), self._copy_address, glyph="copy"))
        self.say(self.address.setAccessibleName, lambda: tr("Address"))
        column.addLayout(row)
        column.addWidget(self.state)
        column.addWidget(
            self.label(
                lambda: tr(
                    "Programs made for Ollama, for OpenAI (/v1) or for Anthropic can use it."
                ),
                "muted",
            )
        )
        self.column.addWidget(frame)
        self.others.failed.connect(self.banner.show_error)
        for part, widget, text in (
            ("requests", self._requests_tab(), lambda: tr("Requests")),
            ("snippets", self._snippets_tab(), lambda: tr("Use it from a program")),
            ("log", self.log, lambda: tr("Log")),
            ("others", scrolled(self.others), lambda: tr("Other computers")),
        ):
            at = self._parts[part] = self.tabs.addTab(widget, "")
            self.say(partial(self.tabs.setTabText, at), text)
            if isinstance(widget, QScrollArea):  # the keyboard reaches it: the arrows scroll
                self.say(widget.setAccessibleName, text)
        self.column.addWidget(self.tabs, 1)

    def _requests_tab(self) -> QWidget:
        tab = QWidget()
        column = QVBoxLayout(tab)
        column.setContentsMargins(0, M, 0, 0)
        column.setSpacing(S)
        column.addWidget(self.quiet)
        column.addWidget(self.how, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.grid, 1)
        column.addWidget(self.abort, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch()
        self.say(self.grid.setAccessibleName, lambda: tr("Requests"))
        self._show_requests()
        return tab

    def _snippets_tab(self) -> QWidget:
        tab = QWidget()
        column = QVBoxLayout(tab)
        column.setContentsMargins(0, M, 0, 0)
        column.setSpacing(S)
        row = QHBoxLayout()
        row.setSpacing(S)
        row.addWidget(self.label(lambda: tr("Model")))
        row.addWidget(self.model)
        row.addStretch()
        row.addWidget(self.button(lambda: tr("Copy"), self._copy_snippet, glyph="copy"))
        self.say(self.model.setAccessibleName, lambda: tr("Model"))
        column.addLayout(row)
        column.addWidget(self.snippets, 1)
        for one in snippets("", ""):
            reader = QPlainTextEdit()
            reader.setReadOnly(True)
            reader.setTabChangesFocus(True)
            reader.setStyleSheet("font-family: monospace;")
            reader.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
            reader.setAccessibleName(one.heading)
            self._readers.append(reader)
            self.snippets.addTab(reader, one.heading)
        return tab

    def _quiet_words(self) -> str:
        known = self._is_known or not self.is_up
        return tr("No request is being answered.") if known else tr("Reading the requests…")

    def _took(self, requests: list[RunningRequest]) -> None:
        self._is_known = True
        self.requests.set_rows(requests)
        self._show_requests()

    def _failed(self, error: CorralError) -> None:
        self.banner.show_error(tr("The requests cannot be read"), error)

    def _took_models(self, models: list[ModelInfo]) -> None:
        wanted = self.house.settings.choices.model
        self.model.clear()
        self.model.addItems([str(info.name) for info in models])
        self.model.setCurrentIndex(max(0, self.model.findText(wanted)))
        self._write_snippets()

    def _show_requests(self) -> None:
        has_some = bool(self.requests.rows)
        self.quiet.setText(self._quiet_words())
        self.how.setVisible(not has_some)
        self.quiet.setVisible(not has_some)
        self.grid.setVisible(has_some)
        self.abort.setVisible(has_some)

    def _show_state(self, state: State) -> None:
        if self.address.text() != self.link.address.url:  # the setting has another one
            self.address.setText(self.link.address.url)
            self._write_snippets()
        text, role = _state_words(state)
        self.state.setText(f"● {text}")
        if self.state.property("role") != role:
            self.state.setProperty("role", role)
            self.state.style().unpolish(self.state)
            self.state.style().polish(self.state)

    def _write_snippets(self) -> None:
        model = self.model.currentText() or "smollm2"
        made = snippets(self.link.address.url, model)
        for reader, snippet in zip(self._readers, made, strict=True):
            reader.setPlainText(snippet.text)

    def _abort(self, row: RunningRequest | None) -> None:
        if row is None:
            return
        failed = self.act_failed(tr("The request cannot be ended"))
        self.link.call(lambda client: client.cancel(row.id), lambda _: self.refresh(), failed)

    def _copy_address(self) -> None:
        QGuiApplication.clipboard().setText(self.address.text())

    def _copy_snippet(self) -> None:
        reader = self._readers[self.snippets.currentIndex()]
        QGuiApplication.clipboard().setText(reader.toPlainText())


def _state_words(state: State) -> tuple[str, str]:
    """Return how the daemon is, and the role that it is shown in."""
    match state.phase:
        case Phase.UP:
            return tr("It answers. Version {version}", version=state.version), "good"
        case Phase.STARTING:
            return tr("Starting the daemon…"), "warn"
        case Phase.LOOKING:
            return tr("Connecting…"), "warn"
        case Phase.DOWN:
            return tr("The daemon does not answer"), "bad"

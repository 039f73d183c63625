"""Discover: a search of the hubs, and downloads from what it finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from PySide6.QtCore import QLocale, QModelIndex, Qt, QTimer
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from gui import figures, searches
from gui.errands import Task
from gui.models.found_list import (
    FoundList,
    QuantRow,
    Wishes,
    chosen,
    exact_name,
    here,
    licenses,
    name_of,
    spoken,
)
from gui.models.table import ROW_ROLE
from gui.pages import House
from gui.searches import LastSearch
from gui.theme import THEME, L, S
from gui.views.found_pane import FoundPane
from gui.views.sheet import Sheet
from gui.widgets.content import Content
from gui.widgets.flow import FlowRow
from gui.widgets.found_card import FoundCard
from gui.words import tr
from runner.client.client import Client
from runner.domain.job import Job
from runner.domain.model import ModelInfo
from runner.domain.search import FoundModel, SearchResult
from runner.errors import CorralError

#: Milliseconds after the last key before the hubs are asked.
_PAUSE_MS = 450
#: Repositories asked for from each hub.
_LIMIT = 30
#: What is worth looking at first.
_IDEAS = ("Qwen3", "Gemma 3", "Llama 3.2", "SmolLM2", "Phi-4", "Mistral")
#: Width of the longest licence's name, in sizes of the type.
_LICENCE_TYPES = 14
_SIZES = ((0, ""), (2 * 10**9, "2 GB"), (5 * 10**9, "5 GB"), (10 * 10**9, "10 GB"))


class DiscoverPage(Sheet):
    """Words, filters, results, and the pane of the result that is chosen."""

    title = "Discover"

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.results = FoundList(self)
        self._found: tuple[FoundModel, ...] = ()
        self._last = LastSearch("", "all", 0.0, SearchResult(()))
        self._asked: Task | None = None
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self.search)
        self.words = QLineEdit()
        self.words.setClearButtonEnabled(True)
        self.words.textChanged.connect(self._typed)
        self.words.returnPressed.connect(self.search)
        self.exact = QPushButton()
        self.exact.setProperty("role", "primary")
        self.exact.hide()
        self.exact.clicked.connect(lambda _=False: self.pull(exact_name(self.words.text())))
        self.hub, self.order, self.license, self.up_to = (QComboBox() for _ in range(4))
        self.language = QComboBox()
        self.fits, self.open, self.tools, self.vision = (QCheckBox() for _ in range(4))
        self.note = QLabel()
        self.note.setProperty("role", "muted")
        self.note.hide()
        self.list = QListView()
        self.pane = FoundPane(self.link)
        self.pane.pulled.connect(self._pull_quant)
        self.content = Content(self._body())
        self.column.addLayout(self._asking())
        self.column.addLayout(self._narrowing())
        self.column.addWidget(self.content, 1)
        self.column.addWidget(self.note)
        self.say_again()
        self._show_ideas()
        self._read_last()

    def refresh(self) -> None:
        """Look what is in the library: it is marked in the results."""
        self.link.call(lambda client: client.list_models(), self._took_library)

    def search(self) -> None:
        """Ask the hubs for what is typed."""
        self._pause.stop()
        words, hub = self.words.text().strip(), self.hub.currentData()
        if not words:
            return
        if self._asked is not None:
            self._asked.cancel()
        self.content.show_loading(tr("Searching the hubs…"))
        file = self._file

        def ask(client: Client) -> LastSearch:
            result = client.search(words, hub=hub, limit=_LIMIT)
            made = LastSearch(words, hub, time.time(), result)
            if result.models:
                searches.keep(file, made)
            return made

        self._asked = self.link.call(ask, self._took, self._failed)

    def pull(self, name: str) -> None:
        """Begin a download; it goes on whether or not the app does."""
        if not name:
            return

        def begun(job: Job) -> None:
            self.banner.show_note(tr("{name} is being downloaded.", name=job.name))
            self.house.go("downloads")

        failed = self.act_failed(tr("{name} cannot be downloaded", name=name))
        self.link.call(lambda client: client.begin_pull(name), begun, failed)

    def retranslate(self) -> None:
        super().retranslate()
        self.pane.say_again()
        self._show_results()
        if not self._last.words:
            self._show_ideas()

    def say_again(self) -> None:
        super().say_again()
        _fill(
            self.hub,
            (("all", tr("All hubs")), ("hf", "Hugging Face"), ("modelscope", "ModelScope")),
        )
        _fill(
            self.order,
            (
                ("hub", tr("Best match")),
                ("downloads", tr("Most downloads")),
                ("likes", tr("Most likes")),
                ("size", tr("Smallest")),
            ),
        )
        _fill(
            self.up_to,
            ((n, tr("Up to {size}", size=text) if n else tr("Any size")) for n, text in _SIZES),
        )
        self._fill_choices()

    @property
    def wishes(self) -> Wishes:
        """How the results are narrowed now."""
        return Wishes(
            fits=self.fits.isChecked(),
            is_open=self.open.isChecked(),
            license=self.license.currentData() or "",
            max_bytes=self.up_to.currentData() or 0,
            language=self.language.currentData() or "",
            tools=self.tools.isChecked(),
            vision=self.vision.isChecked(),
            order=self.order.currentData() or "hub",
        )

    @property
    def _file(self) -> Path:
        return self.house.settings.folder / "discover.json"

    def _asking(self) -> QHBoxLayout:
        self.say(
            self.words.setPlaceholderText,
            lambda: tr("Search both hubs, or paste a name or a link"),
        )
        self.say(self.words.setAccessibleName, lambda: tr("Search the hubs"))
        self.say(self.exact.setText, lambda: tr("Download this"))
        row = QHBoxLayout()
        row.setSpacing(S)
        row.addWidget(self.words, 1)
        row.addWidget(self.exact)
        row.addWidget(self.button(lambda: tr("Search"), self.search, glyph="search"))
        find = QShortcut(QKeySequence.StandardKey.Find, self, self.words.setFocus)
        find.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        return row

    def _narrowing(self) -> QVBoxLayout:
        row, below = FlowRow(), FlowRow(spacing=L)
        for box, text in (
            (self.hub, lambda: tr("Hub")),
            (self.order, lambda: tr("Order")),
            (self.up_to, lambda: tr("Size")),
            (self.license, lambda: tr("Licence")),
            (self.language, lambda: tr("Language")),
        ):
            self.say(box.setAccessibleName, text)
            self.say(box.setToolTip, text)
            box.activated.connect(lambda _: self._show_results())
            row.flow.addWidget(box)
        self.hub.activated.connect(lambda _: self.search())
        self.say(self.fits.setText, lambda: tr("Fits this machine"))
        self.say(self.open.setText, lambda: tr("Nothing to accept"))
        self.say(self.tools.setText, lambda: tr("Tools"))
        self.say(self.vision.setText, lambda: tr("Vision"))
        for check in (self.fits, self.open, self.tools, self.vision):
            check.toggled.connect(lambda _: self._show_results())
            below.flow.addWidget(check)
        for check in (self.tools, self.vision):
            self.say(check.setToolTip, lambda: tr("As far as the hub tells"))
        rows = QVBoxLayout()
        rows.setSpacing(S)
        rows.addWidget(row)
        rows.addWidget(below)
        return rows

    def _body(self) -> QWidget:
        self.list.setModel(self.results)
        self.list.setItemDelegate(FoundCard(self.list))
        self.list.setUniformItemSizes(True)  # a thousand rows are measured by one
        self.list.setMouseTracking(True)
        self.list.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setMinimumWidth(320)
        self.say(self.list.setAccessibleName, lambda: tr("Search results"))
        self.list.selectionModel().currentChanged.connect(self._choose)
        self.pane.setMinimumWidth(300)
        body = QSplitter()
        body.setChildrenCollapsible(False)
        body.addWidget(self.list)
        body.addWidget(self.pane)
        body.setStretchFactor(0, 1)
        body.setStretchFactor(1, 1)
        body.setSizes([480, 480])
        return body

    def _typed(self, text: str) -> None:
        self.exact.setVisible(bool(exact_name(text)))
        if text.strip():
            self._pause.start()
        else:
            self._pause.stop()

    def _took(self, search: LastSearch) -> None:
        self._last = search
        self._found = search.result.models
        self._note(_failures(search.result))
        self._fill_choices()
        self._show_results()

    def _failed(self, error: CorralError) -> None:
        """No hub answers: what was found last time is better than nothing."""
        if self._found:
            when = figures.ago(self._last.made_at, time.time())
            self.banner.show_error(tr("The hubs do not answer"), error)
            self._note(
                tr("Offline: results for “{words}”, {when}", words=self._last.words, when=when)
            )
            self._show_results()
            return
        again = (tr("Try again"), self.search)
        self.content.show_error(tr("The hubs do not answer"), error, [again])

    def _read_last(self) -> None:
        def took(found: LastSearch | None) -> None:
            if found is None or self._last.words:
                return
            self._took(found)
            when = figures.ago(found.made_at, time.time())
            self._note(tr("Results for “{words}”, {when}", words=found.words, when=when))

        file = self._file
        self.link.call(lambda _: searches.last(file), took)

    def _show_ideas(self) -> None:
        def idea(words: str) -> Callable[[], None]:
            def search() -> None:
                self.words.setText(words)
                self.search()

            return search

        self.content.show_empty(
            tr("Find a model"),
            tr("Models come from Hugging Face and ModelScope. Some to begin with:"),
            [(words, idea(words)) for words in _IDEAS],
        )

    def _show_results(self) -> None:
        if not self._last.words:
            return
        left = chosen(self._found, self.wishes)
        current = self.pane.model
        self.results.show(left)
        self.results.refresh()
        if left:
            self.content.show_body()
            kept = self.results.index_of(current.name) if current is not None else QModelIndex()
            self.list.setCurrentIndex(kept if kept.isValid() else self.results.index(0))
        elif self._found:
            n = len(self._found)
            loosen = (tr("Show all {n}", n=n), self._loosen)
            self.content.show_empty(tr("The filters leave nothing"), "", [loosen])
        else:
            self.content.show_empty(
                tr("Nothing found for “{words}”", words=self._last.words),
                tr("Only repositories with GGUF files are shown. Fewer words find more."),
            )

    def _note(self, text: str) -> None:
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def _loosen(self) -> None:
        for box in (self.license, self.up_to, self.language):
            box.setCurrentIndex(0)
        for check in (self.fits, self.open, self.tools, self.vision):
            check.setChecked(False)
        self._show_results()

    def _choose(self, index: QModelIndex) -> None:
        model = index.data(ROW_ROLE) if index.isValid() else None
        self.pane.show_model(model, self.results.tags_of(model) if model else set())

    def _took_library(self, models: list[ModelInfo]) -> None:
        self.results.set_library(here(info.name for info in models))
        self._choose(self.list.currentIndex())

    def _pull_quant(self, row: QuantRow | None) -> None:
        if self.pane.model is not None:
            model = self.pane.model
            self.pull(model.name if row is None else name_of(model, row.quant))

    def _fill_choices(self) -> None:
        names = ((name, name) for name in licenses(self._found))
        _fill(self.license, (("", tr("Any licence")), *names))
        self.license.setMaximumWidth(_LICENCE_TYPES * THEME.font_px)
        tongues = ((code, _tongue(code)) for code in spoken(self._found))
        _fill(self.language, (("", tr("Any language")), *tongues))


def _tongue(code: str) -> str:
    """Return what a language calls itself; Qt has these with a country."""
    plain = {"en": "English", "zh": "中文", "es": "español"}
    return plain.get(code) or QLocale(code).nativeLanguageName() or code


def _failures(result: SearchResult) -> str:
    """Say which hubs could not be asked."""
    return "  ·  ".join(
        tr("{hub} does not answer: {why}", hub=one.hub, why=one.message) for one in result.failures
    )


def _fill(box: QComboBox, items: Iterable[tuple[object, str]]) -> None:
    """Give a box its choices, and keep the one that was made as far as it is still there."""
    kept = box.currentData()
    box.blockSignals(True)
    box.clear()
    for value, text in items:
        box.addItem(text, value)
    box.setCurrentIndex(max(0, box.findData(kept)))
    box.blockSignals(False)

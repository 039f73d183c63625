"""The library: every model, its details, and what can be done with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QFileDialog, QLabel, QLineEdit, QMenu, QSplitter, QVBoxLayout, QWidget

from gui import figures
from gui.errands import Task
from gui.link import State
from gui.mender import Mender
from gui.models.library_table import LibraryRow, library_rows, library_table
from gui.models.table import Sorted
from gui.pages import House
from gui.theme import S
from gui.views.defaults_dialog import DefaultsDialog
from gui.views.library_care import LibraryCare
from gui.views.library_details import LibraryDetails
from gui.views.modelfile_dialog import ModelfileDialog
from gui.views.quantize_dialog import QuantizeDialog
from gui.views.sheet import Sheet
from gui.widgets.ask import ask_text, confirm
from gui.widgets.content import Content
from gui.widgets.grid import Grid
from gui.words import tr
from runner.client.client import Client
from runner.client.decode import ShownModel
from runner.client.decode_keeping import Change
from runner.client.keeping import job_of
from runner.domain.job import JobState
from runner.domain.model import ModelInfo
from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.domain.topic import Topic
from runner.errors import CorralError, InvalidName


class LibraryPage(Sheet):
    """A table, and beside it the pane of the model that is chosen."""

    title = "Library"

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.table = library_table()
        self.sorted = Sorted(self.table, self)
        self.grid = Grid(self.sorted, widths=(178, 76, 96, 118, 100, 90, 85, 90, 110, 130, 110))
        self.grid.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.details = LibraryDetails(self.link)
        self.details.show_row(None)
        self._models: Sequence[ModelInfo] | None = None  # not known yet
        self._loading: set[str] = set()
        self._asked: Task | None = None
        self._shown_name = ""
        self._importing: Task | None = None
        self._mender = Mender(self.link, self)
        self._mender.told.connect(self.banner.show_note)
        self.care = LibraryCare(self.link, self.banner, self)
        self.summary = QLabel()
        self.summary.setProperty("role", "muted")
        self.search = QLineEdit()
        self.search.setClearButtonEnabled(True)
        self.search.setFixedWidth(240)
        self.search.textChanged.connect(self._search)
        self.say(self.search.setPlaceholderText, lambda: tr("Search the library"))
        self.say(self.search.setAccessibleName, lambda: tr("Search the library"))
        self.add_widget_tool(self.search)
        self.add_tool(lambda: tr("Import a file…"), self._choose_file, glyph="plus")
        self.content = Content(self._body())
        self.column.addWidget(self.content, 1)
        self.content.show_loading(tr("Reading the library…"))
        self._wire()

    def refresh(self) -> None:
        """Ask for the library; what is in memory comes with the link's state."""
        self.link.call(lambda client: client.list_models(), self._took, self._list_failed)

    def show_down(self, error: CorralError) -> None:
        if not self._models:
            self._list_failed(error)
        else:
            self.banner.show_error(tr("The daemon does not answer"), error)

    def state_changed(self, state: State) -> None:
        self._loading -= {str(model.info.name) for model in state.running}
        self._show_rows()

    def import_file(self, path: Path) -> None:
        """Take a GGUF file of this machine into the library, under a name after the file."""
        self._importing = self.link.stream(
            lambda client: client.pull("", path),
            self._import_moved,
            self._imported,
            self._import_failed,
        )
        self.banner.show_note(tr("Importing {name}…", name=path.name))

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if any(url.toLocalFile().lower().endswith(".gguf") for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        for url in event.mimeData().urls():
            if url.toLocalFile().lower().endswith(".gguf"):
                self.import_file(Path(url.toLocalFile()))

    def show_part(self, part: str) -> None:
        """``edit/`` and a model's name: its Modelfile, to be changed."""
        verb, _, name = part.partition("/")
        if verb == "edit":
            self._edit_model(name)

    def retranslate(self) -> None:
        super().retranslate()
        self.details.say_again()
        self._show_rows()

    def _wire(self) -> None:
        self.setAcceptDrops(True)
        self.say(self.grid.setAccessibleName, lambda: tr("Models in the library"))
        self.grid.chosen.connect(self._choose)
        self.grid.activated_row.connect(lambda row: self._do("chat", row))
        self.grid.deleted_row.connect(lambda row: self._do("delete", row))
        self.grid.menu_wanted.connect(self._show_menu)
        self.details.asked.connect(self._do)
        self.link.told.connect(self._on_told)
        self.care.looked.connect(self._show_rows)
        self.details.measured.begun.connect(lambda _: self.house.go("downloads"))
        self.details.measured.failed.connect(self.banner.show_error)
        find = QShortcut(QKeySequence.StandardKey.Find, self, self.search.setFocus)
        find.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)

    def _body(self) -> QWidget:
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(S)
        column.addWidget(self.grid, 1)
        column.addWidget(self.summary)
        body = QSplitter()
        body.setChildrenCollapsible(False)
        body.addWidget(left)
        body.addWidget(self.details)
        body.setStretchFactor(0, 3)
        body.setStretchFactor(1, 2)
        body.setSizes([450, 590])
        self.details.setMinimumWidth(300)
        left.setMinimumWidth(190)
        return body

    def _on_told(self, change: Change) -> None:
        """A name came or went; a job that is done may have brought a model."""
        job = job_of(change)
        is_done = job is not None and job.state is JobState.DONE
        if self.isVisible() and (is_done or change.kind == Topic.MODEL):
            self.refresh()
        elif self.isVisible() and change.kind == Topic.LOAD:
            self._show_rows()

    def _took(self, models: list[ModelInfo]) -> None:
        self.banner.hide()
        known = {info.digest for info in self._models or ()}
        if any(info.digest not in known for info in models):
            self.care.scan()
        self._models = models
        self._show_rows()

    def _list_failed(self, error: CorralError) -> None:
        again = (tr("Try again"), self._try_again)
        self.content.show_error(tr("The library cannot be read"), error, [again])

    def _try_again(self) -> None:
        self.link.look()  # starts a daemon where none answers
        self.refresh()

    def _show_rows(self) -> None:
        if self._models is None:
            return
        if not self._models:
            self.table.set_rows([])
            self._show_none()
            return
        running, loads, faults = self.link.state.running, self.link.loads, self.care.faults
        rows = library_rows(self._models, running, self._loading, faults, loads)
        self.table.set_rows(rows)
        self.content.show_body()
        self._search(self.search.text())
        if self.grid.current is None and not self.grid.choose(lambda row: row.running is not None):
            self.grid.choose(lambda row: True)

    def _show_none(self) -> None:
        self.content.show_empty(
            tr("The library is empty"),
            tr("Find a model on the hubs, or import a GGUF file of this machine."),
            [
                (tr("Discover models"), lambda: self.house.go("discover")),
                (tr("Import a file…"), self._choose_file),
            ],
        )

    def _search(self, text: str) -> None:
        self.sorted.search(text)
        models = self._models or ()
        distinct = {info.digest or str(info.name): info.n_bytes for info in models}
        n, size = len(models), figures.size(sum(distinct.values()))
        if text.strip():
            self.summary.setText(tr("{n} of {all} models", n=self.sorted.rowCount(), all=n))
        else:
            words = tr("1 model, {size} on disk") if n == 1 else tr("{n} models, {size} on disk")
            self.summary.setText(words.format(n=n, size=size))

    def _choose(self, row: LibraryRow | None) -> None:
        self.details.show_row(row)
        if row is None or row.info.digest + row.name == self._shown_name:
            return
        self._shown_name = row.info.digest + row.name
        if self._asked is not None:
            self._asked.cancel()
        self.details.show_loading()
        self._asked = self.link.call(
            lambda client: client.show(row.name), self.details.show_model, self.details.show_error
        )

    def _show_menu(self, at: QPoint, row: LibraryRow) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        memory = ("unload", tr("Unload")) if row.running else ("load", tr("Load"))
        for verb, text in (
            ("chat", tr("Chat")),
            memory,
            ("keep", tr("Keep in memory")),
            ("quantize", tr("Smaller forms…")),
            ("defaults", tr("Defaults…")),
            ("edit", tr("Edit the Modelfile…")),
            ("verify", tr("Check the files")),
            ("copy", tr("Second name…")),
            ("delete", tr("Delete…")),
        ):
            menu.addAction(text, partial(self._do, verb, row))
        menu.popup(at)

    def _do(self, verb: str, row: LibraryRow) -> None:
        acts: dict[str, Callable[[LibraryRow], object]] = {
            "chat": self._chat,
            "load": lambda row: self._load(row, None),
            "keep": lambda row: self._load(row, math.inf),
            "unload": self._unload,
            "copy": self._copy,
            "delete": self._ask_delete,
            "quantize": self._quantize,
            "verify": self.care.verify,
            "edit": lambda row: self._edit_model(row.name),
            "defaults": self._set_defaults,
            "more": lambda row: self._show_menu(self.details.menu_place(), row),
        }
        acts[verb](row)

    def _chat(self, row: LibraryRow) -> None:
        self.house.settings.change(model=row.name)
        self.house.go("chat")

    def _load(self, row: LibraryRow, keep_alive: float | None) -> None:
        def load(client: Client) -> None:
            with client.generate(row.name, "", keep_alive=keep_alive) as answer:
                for _ in answer:
                    pass

        def failed(error: CorralError) -> None:
            self._loading.discard(row.name)
            self._show_rows()
            title = tr("{name} cannot be loaded", name=row.name)
            told = f"{error.message} {error.hint}"
            acts = self._mender.acts_for_model(row.name, told, lambda: self._load(row, keep_alive))
            self.banner.show_error(title, error, acts)

        if row.running is None:
            self._loading.add(row.name)
            self._show_rows()
        self.link.call(load, lambda _: self.link.look(), failed)

    def _unload(self, row: LibraryRow) -> None:
        self.link.call(
            lambda client: client.unload(row.name),
            lambda _: self.link.look(),
            self.act_failed(tr("{name} cannot be unloaded", name=row.name)),
        )

    def _copy(self, row: LibraryRow) -> None:
        ask_text(
            self,
            tr("A second name for {name}", name=row.name),
            tr("Both names stand for the same files; nothing is copied on disk."),
            tr("Add the name"),
            lambda name: self.link.call(
                lambda client: client.copy(row.name, name),
                lambda _: self.refresh(),
                self.act_failed(tr("The name cannot be added")),
            ),
            is_good=_is_name,
        )

    def _quantize(self, row: LibraryRow) -> None:
        dialog = QuantizeDialog(self, self.link, row.name)
        dialog.begun.connect(lambda _: self.house.go("downloads"))
        dialog.open()

    def _set_defaults(self, row: LibraryRow) -> None:
        def show(shown: ShownModel) -> None:
            details = shown.details
            options = details.options.set_values()
            dialog = DefaultsDialog(self, self.link, row.name, details.system, options)
            dialog.made.connect(self._has_other_defaults)
            dialog.open()

        failed = self.act_failed(tr("This model cannot be read"))
        self.link.call(lambda client: client.show(row.name), show, failed)

    def _has_other_defaults(self, _: str) -> None:
        self._shown_name = ""
        self.refresh()

    def _edit_model(self, name: str) -> None:
        def show(shown: ShownModel) -> None:
            dialog = ModelfileDialog(self, self.link, name, shown.modelfile)
            dialog.made.connect(self._has_other_defaults)
            dialog.open()

        failed = self.act_failed(tr("This model cannot be read"))
        self.link.call(lambda client: client.show(name), show, failed)

    def _ask_delete(self, row: LibraryRow) -> None:
        if row.others:
            what = tr(
                "Only this name goes and no room is freed: {others} has the same files.",
                others=", ".join(row.others),
            )
        else:
            size = figures.size(row.n_freed)
            what = tr("This frees up to {size} on disk. It cannot be undone.", size=size)
        if row.running is not None and row.running.n_active:
            what = f"{what}\n{tr('It is answering {n} requests.', n=row.running.n_active)}"
        title = tr("Delete {name}?", name=row.name)
        confirm(self, title, what, tr("Delete"), lambda: self._delete(row))

    def _delete(self, row: LibraryRow) -> None:
        def gone(_: None) -> None:
            self._models = [info for info in self._models or () if info.name != row.info.name]
            self._show_rows()
            self.link.look()
            self.refresh()

        failed = self.act_failed(tr("{name} cannot be deleted", name=row.name))
        self.link.call(lambda client: client.delete(row.name), gone, failed)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, tr("Import a file…"), "", f"{tr('GGUF models')} (*.gguf)"
        )
        if path:
            self.import_file(Path(path))

    def _import_moved(self, moments: list[Progress]) -> None:
        last = moments[-1]
        if last.n_bytes:
            done, whole = figures.size(last.n_done), figures.size(last.n_bytes)
            self.banner.show_note(tr("Importing: {done} of {whole}", done=done, whole=whole))

    def _imported(self) -> None:
        self.banner.hide()
        self.refresh()

    def _import_failed(self, error: CorralError) -> None:
        self.banner.show_error(tr("The file cannot be imported"), error)


def _is_name(text: str) -> bool:
    try:
        ModelName.parse(text.strip())
    except InvalidName:
        return False
    return True

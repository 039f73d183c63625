"""The tensor table of the model in sight, asked for when somebody looks, with a search."""

from __future__ import annotations

from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QLabel, QLineEdit, QVBoxLayout, QWidget

from gui.errands import Task
from gui.link import Link
from gui.models.table import Sorted
from gui.models.tensor_table import summary, tensor_rows, tensor_table
from gui.theme import M, S
from gui.widgets.content import Content
from gui.widgets.grid import Grid
from gui.widgets.spoken import Spoken
from gui.words import tr
from runner.client.decode import ShownModel
from runner.errors import CorralError


class TensorsTab(QWidget, Spoken):
    """About the model that ``set_model`` was last given."""

    def __init__(self, link: Link) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self._link = link
        self._name = ""
        self._known = ""  # the model in the table
        self._asked: Task | None = None
        self.table = tensor_table()
        self.sorted = Sorted(self.table, self)
        self.grid = Grid(self.sorted, widths=(230, 80, 130, 90))
        self.words, self.search = QLabel(), QLineEdit()
        self.words.setProperty("role", "muted")
        self.words.setWordWrap(True)
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._search)
        for put in (self.search.setPlaceholderText, self.search.setAccessibleName):
            self.say(put, lambda: tr("Search the tensors"))
        self.say(self.grid.setAccessibleName, lambda: tr("Tensors"))
        body = QWidget()
        inner = QVBoxLayout(body)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(S)
        for widget in (self.search, self.grid, self.words):
            inner.addWidget(widget)
        self.content = Content(body)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, M, 0, 0)
        column.addWidget(self.content)

    def set_model(self, name: str) -> None:
        """Be about another model, or about the same one anew."""
        self._name, self._known = name, ""
        if self._asked is not None:
            self._asked.cancel()
        if self.isVisible():
            self._ask()

    def showEvent(self, event: QShowEvent) -> None:
        """Ask, unless what is known is about this model."""
        super().showEvent(event)
        if self._name != self._known:
            self._ask()

    def say_again(self) -> None:
        super().say_again()
        self._search(self.search.text())

    def _ask(self) -> None:
        name = self._known = self._name
        self.content.show_loading(tr("Reading the model…"))
        self._asked = self._link.call(
            lambda client: client.show(name, verbose=True), self._took, self._failed
        )

    def _took(self, shown: ShownModel) -> None:
        self.table.set_rows(tensor_rows(shown.details))
        self.content.show_body()
        self._search(self.search.text())

    def _failed(self, error: CorralError) -> None:
        self._known = ""
        self.content.show_error(tr("This model cannot be read"), error)

    def _search(self, text: str) -> None:
        self.sorted.search(text)
        found = [self.sorted.row(self.sorted.index(at, 0)) for at in range(self.sorted.rowCount())]
        self.words.setText(summary(found))

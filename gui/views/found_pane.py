"""The pane beside the search results: one model, and its quantizations to choose from."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QTabWidget, QVBoxLayout, QWidget

from gui import figures, icons
from gui.link import Link
from gui.models.found_list import QuantRow, quant_rows, quant_table
from gui.models.table import Sorted
from gui.theme import L, S
from gui.views.card_view import CardView
from gui.widgets.found_card import facts_line
from gui.widgets.grid import Grid
from gui.widgets.spoken import Spoken
from gui.words import tr
from runner.domain.search import FoundModel

_PAGES = {
    "hf.co": "https://huggingface.co/",
    "modelscope.cn": "https://www.modelscope.cn/models/",
    "modelscope.ai": "https://www.modelscope.ai/models/",
}


class FoundPane(QWidget, Spoken):
    """Shows a result; ``pulled`` has the quantization that shall be downloaded.

    It is ``None`` when the hub did not tell what there is: the daemon chooses then.
    """

    pulled = Signal(object)

    def __init__(self, link: Link) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self.model: FoundModel | None = None
        self.card = CardView(link)
        self.table = quant_table()
        self.grid = Grid(Sorted(self.table, self), stretched=2, widths=(130, 90))
        self.grid.sortByColumn(1, Qt.SortOrder.AscendingOrder)
        self._here: set[str] = set()
        self._address = ""
        self._name, self._facts, self._gate = QLabel(), QLabel(), QLabel()
        for label, role in ((self._name, "heading"), (self._facts, "muted"), (self._gate, "warn")):
            label.setProperty("role", role)
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self._name.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.download = QPushButton()
        self.download.setProperty("role", "primary")
        icons.dress(self.download, "downloads", "on_accent")
        self.download.clicked.connect(lambda _=False: self._pull(self.grid.current))
        self.page = QPushButton()
        self.page.clicked.connect(lambda _=False: self._open_page())
        icons.dress(self.page, "open")
        self.say(self.page.setAccessibleName, lambda: tr("Open its page"))
        self.say(self.grid.setAccessibleName, lambda: tr("Quantizations"))
        self.grid.chosen.connect(self._choose)
        self.grid.activated_row.connect(self._pull)
        row = QHBoxLayout()
        row.setSpacing(S)
        row.addWidget(self.download, 1)
        row.addWidget(self.page)
        column = QVBoxLayout(self)
        column.setContentsMargins(L, 0, 0, 0)
        column.setSpacing(S)
        for widget in (self._name, self._facts, self._gate):
            column.addWidget(widget)
        column.addWidget(self._tabs(), 1)
        column.addLayout(row)
        self.setVisible(False)

    def show_model(self, model: FoundModel | None, here: set[str]) -> None:
        """Show a model; ``here`` are its tags that are in the library."""
        is_new = model is not self.model
        self.model, self._here = model, here
        self.setVisible(model is not None)
        if model is None:
            return
        self._name.setText(model.name)
        self._facts.setText(facts_line(model))
        self._gate.setVisible(model.is_gated)
        self._gate.setText(tr("Its owner wants a licence accepted on its page first, and a token."))
        where = _PAGES.get(model.hub, "")
        self.page.setEnabled(bool(where))
        self._address = f"{where}{model.name.removeprefix(f'{model.hub}/')}" if where else ""
        self.page.setToolTip(f"{tr('Open its page')}: {self._address}" if where else "")
        self.table.set_rows(quant_rows(model, here))
        if is_new and not self.grid.choose(lambda row: row.is_recommended):
            self.grid.choose(lambda row: True)
        self._choose(self.grid.current)
        self.card.show_model(model.name)

    def say_again(self) -> None:
        super().say_again()
        self.card.retranslate()
        self.show_model(self.model, self._here)

    def _tabs(self) -> QTabWidget:
        self.tabs = QTabWidget()
        quants = QWidget()
        column = QVBoxLayout(quants)
        column.setContentsMargins(0, S, 0, 0)
        column.addWidget(self.grid)
        for widget, text in (
            (quants, lambda: tr("Quantizations")),
            (self.card, lambda: tr("Model card")),
        ):
            at = self.tabs.addTab(widget, "")
            self.say(partial(self.tabs.setTabText, at), text)
        return self.tabs

    def _choose(self, row: QuantRow | None) -> None:
        self.download.setEnabled(row is None or not row.is_here)
        if row is None:
            self.download.setText(tr("Download"))
        elif row.is_here:
            self.download.setText(tr("In the library"))
        else:
            size = figures.size(row.quant.n_bytes) if row.quant.n_bytes else ""
            what = f"{row.quant.label}, {size}" if size else row.quant.label
            self.download.setText(tr("Download {what}", what=what))
        # Its name is told whole, however narrow the page is.
        self.download.setMinimumWidth(self.download.sizeHint().width())

    def _pull(self, row: QuantRow | None) -> None:
        if row is None or not row.is_here:
            self.pulled.emit(row)

    def _open_page(self) -> None:
        if self._address:
            QDesktopServices.openUrl(QUrl(self._address))

"""A table view dressed like the rest: whole rows, sorted by a click, worked by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPoint, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from gui.models.table import Sorted

R = TypeVar("R")


class Grid(QTableView):
    """Rows of a ``Sorted`` table; the column ``stretched`` takes what room is left."""

    chosen = Signal(object)  # the current row, or None
    activated_row = Signal(object)  # Enter or double click
    deleted_row = Signal(object)  # Delete
    menu_wanted = Signal(QPoint, object)

    def __init__(
        self, model: Sorted[Any], *, stretched: int | None = 0, widths: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.sorted = model
        self.setModel(model)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)  # Tab leaves the table; arrows move in it
        self.verticalHeader().hide()
        # One height for all rows: a thousand need not be measured.
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        head = self.horizontalHeader()
        head.setHighlightSections(False)
        head.setStretchLastSection(False)
        for column, width in enumerate(widths):
            self.setColumnWidth(column, width)
        if stretched is not None:
            head.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._ask_menu)
        self.selectionModel().currentRowChanged.connect(lambda *_: self._tell())
        model.rowsInserted.connect(lambda *_: self._tell())
        model.rowsRemoved.connect(lambda *_: self._tell())
        model.dataChanged.connect(lambda *_: self._tell())
        self.doubleClicked.connect(lambda index: self.activated_row.emit(model.row(index)))
        self.fit_rows()

    @property
    def current(self) -> Any:
        """The row that is chosen; ``None`` when none is."""
        index = self.currentIndex()
        return self.sorted.row(index) if index.isValid() else None

    def choose(self, wanted: Callable[[Any], bool]) -> bool:
        """Make the first row that is wanted the current one; returns whether there is one."""
        for at in range(self.sorted.rowCount()):
            index = self.sorted.index(at, 0)
            if wanted(self.sorted.row(index)):
                flags = QItemSelectionModel.SelectionFlag
                self.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
                self.scrollTo(index)
                return True
        return False

    def fit_rows(self) -> None:
        """Give rows the height that the text asks for; after the type changed size."""
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 16)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        row = self.current
        if row is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.activated_row.emit(row)
        elif row is not None and event.key() == Qt.Key.Key_Delete:
            self.deleted_row.emit(row)
        else:
            super().keyPressEvent(event)

    def _tell(self) -> None:
        self.chosen.emit(self.current)

    def _ask_menu(self, at: QPoint) -> None:
        index: QModelIndex = self.indexAt(at)
        if index.isValid():
            self.menu_wanted.emit(self.viewport().mapToGlobal(at), self.sorted.row(index))

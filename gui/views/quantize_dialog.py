"""A model in smaller types: what each would take, and the job that makes those chosen."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui import figures
from gui.errands import Task
from gui.icons import dress
from gui.link import Link
from gui.models.quantize_plan import (
    OFFERED,
    RECOMMENDED,
    Plan,
    Target,
    joined,
    measured,
    plan_of,
    quality_bars,
    target_table,
)
from gui.models.table import Sorted
from gui.theme import THEME, XL, M, S
from gui.views.sheet import scrolled
from gui.widgets.bars import Bar, Bars
from gui.widgets.content import Content
from gui.widgets.grid import Grid
from gui.widgets.room import take_room
from gui.words import sentence, tr
from runner.client.client import Client
from runner.client.connection import Json, decoded
from runner.domain.job import Job
from runner.domain.name import ModelName
from runner.domain.quality import QualityReport
from runner.errors import CorralError, InvalidName


class QuantizeDialog(QDialog):
    """Asks the daemon for a plan, and begins the job.

    Signals:
        begun: The ``Job`` that writes the new models.
    """

    begun = Signal(object)

    def __init__(self, parent: QWidget, link: Link, model: str) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("Smaller forms of {name}", name=model))
        take_room(self, 760, 700)
        self._link = link
        self._model = model
        self._asked: Task | None = None
        self._to_ask: list[str] = []  # types that are not planned yet
        self._looks: list[Task] = []  # for what was measured
        self._matrix: Path | None = None
        self._is_begun = False
        self.plan: Plan | None = None
        self.table = target_table()
        self.grid = Grid(Sorted(self.table, self), stretched=4, widths=(100, 90, 110, 130))
        self.grid.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.grid.setAccessibleName(tr("Types"))
        self.grid.sortByColumn(0, Qt.SortOrder.DescendingOrder)
        self.grid.selectionModel().selectionChanged.connect(lambda *_: self._choose())
        self.bars = Bars()
        self.bars.setAccessibleName(tr("Sizes"))
        self.quality, self.quality_words = Bars(), QLabel()
        self.quality.setAccessibleName(tr("Quality"))
        self.again = QCheckBox(tr("Do it all the same"))
        self.again.toggled.connect(lambda _: self._ask())
        self.again.hide()
        self.name, self.matrix = QLineEdit(), QPushButton(tr("Importance matrix…"))
        self.problem, self.summary = QLabel(), QLabel()
        self.act, self.leave = QPushButton(tr("Make them")), QPushButton(tr("Cancel"))
        self.content = Content(self._body())
        self._lay_out()
        self._ask()

    @property
    def is_planned(self) -> bool:
        """Whether every type was planned."""
        return self.plan is not None and not self._to_ask

    def chosen(self) -> list[Target]:
        """Return the types that are selected, the largest first."""
        rows = self.grid.selectionModel().selectedRows()
        source: Sorted[Target] = self.grid.sorted
        return sorted((source.row(index) for index in rows), key=lambda t: -t.n_bytes)

    def done(self, result: int) -> None:
        """Ask no further: nobody looks."""
        for task in (self._asked, *self._looks):
            if task is not None:
                task.cancel()
        super().done(result)

    def begin(self) -> None:
        """Have the chosen ones made."""
        targets = self.chosen()
        if not targets or self._is_begun:
            return
        self._is_begun = True
        self._choose()
        body = self._body_of([target.kind for target in targets])
        if len(targets) == 1 and self.name.text().strip():
            body["name"] = self.name.text().strip()
        self._link.call(
            lambda client: client.begin_quantize(self._model, body), self._has_begun, self._failed
        )

    def _ask(self) -> None:
        """Ask what each type would take."""
        if self._asked is not None:
            self._asked.cancel()
        self.content.show_loading(tr("Measuring the types…"))
        self.plan = None
        self._to_ask = list(OFFERED)
        self._ask_next()

    def _ask_next(self) -> None:
        """Ask for one type: each takes a while on a busy machine, and is shown when it is there."""
        model, body = self._model, self._body_of(self._to_ask[:1])

        def ask(client: Client) -> Plan:
            n_memory = client.machine().n_memory
            value = client.plan_quantize(model, body)
            return decoded(lambda v: plan_of(v, n_memory), value)

        self._asked = self._link.call(ask, self._took, self._not_planned)

    def _body_of(self, kinds: list[str]) -> Json:
        body: Json = {"types": kinds, "requantize": self.again.isChecked()}
        if self._matrix is not None:
            body["imatrix"] = str(self._matrix)
        return body

    def _took(self, more: Plan) -> None:
        self._to_ask = self._to_ask[1:]
        self.plan = plan = joined(self.plan, more)
        self.table.set_rows(plan.targets)
        self.problem.setText("\n".join(text for text in (plan.problem, plan.hint) if text))
        self.problem.setVisible(bool(plan.problem))
        self.again.setVisible(bool(plan.problem) or self.again.isChecked())
        self._show_quality()
        for one in more.targets:
            if one.is_there:
                self._ask_quality(one)
        bars = [Bar(tr("Now"), plan.n_bytes, figures.size(plan.n_bytes), "muted")]
        bars += [
            Bar(one.kind, one.n_bytes, _told(one), "warn" if one.fits is False else "accent")
            for one in sorted(plan.targets, key=lambda one: -one.n_bytes)
        ]
        self.bars.show_bars(bars)
        self.content.show_body()
        if not self.chosen():
            self.grid.choose(lambda target: target.kind == RECOMMENDED)
        self._choose()
        if self._to_ask:
            self._ask_next()

    def _ask_quality(self, target: Target) -> None:
        """Ask what was measured of a type that was made before."""

        def took(reports: list[QualityReport]) -> None:
            if self.plan is not None:
                self.plan = measured(self.plan, target.kind, reports)
                self.table.set_rows(self.plan.targets)
                self._show_quality()

        self._looks.append(self._link.call(lambda client: client.quality(target.name), took))

    def _show_quality(self) -> None:
        bars = quality_bars(self.plan) if self.plan is not None else []
        self.quality.show_bars(bars)
        self.quality.setVisible(bool(bars))
        self.quality_words.setText(
            tr("Quality, as measured against {name}", name=self._model)
            if bars
            else tr("A type's quality can be measured in the library once it is made.")
        )

    def _not_planned(self, error: CorralError) -> None:
        again = (tr("Try again"), self._ask)
        self.content.show_error(tr("Nothing can be made of it"), error, [again])
        self._choose()

    def _choose(self) -> None:
        """Something else is selected, or was typed."""
        targets, plan = self.chosen(), self.plan
        is_one = len(targets) == 1
        self.name.setEnabled(is_one)
        self.name.setPlaceholderText(targets[0].name if is_one else tr("one name for each type"))
        n_bytes = sum(target.n_bytes for target in targets)
        is_short = plan is not None and n_bytes > plan.n_free > 0
        told = tr("{size} in all", size=figures.size(n_bytes)) if targets else tr("Choose a type.")
        if plan is not None and plan.n_free:
            told += "  ·  " + tr("{size} free", size=figures.size(plan.n_free))
        there = ", ".join(target.name for target in targets if target.is_there)
        if there:
            told += "  ·  " + tr("replaces {names}", names=there)
        self.summary.setText(told)
        self.summary.setProperty("role", "bad" if is_short else "muted")
        self.summary.style().unpolish(self.summary)
        self.summary.style().polish(self.summary)
        is_named = not is_one or _is_name(self.name.text())
        can = bool(targets) and plan is not None and not plan.problem and is_named
        self.act.setEnabled(can and not is_short and not self._is_begun)

    def _has_begun(self, job: Job) -> None:
        self.begun.emit(job)
        self.accept()

    def _failed(self, error: CorralError) -> None:
        self._is_begun = False
        self.problem.setText(sentence(error))
        self.problem.show()
        self._choose()

    def _choose_matrix(self) -> None:
        dialog = QFileDialog(self, tr("Importance matrix…"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._take_matrix)
        dialog.open()

    def _take_matrix(self, path: str) -> None:
        self._matrix = Path(path)
        self.matrix.setText(self._matrix.name)
        self._ask()

    def _body(self) -> QWidget:
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(M)
        column.addWidget(self.grid, 1)
        column.addWidget(self.bars)
        self.quality_words.setProperty("role", "muted")
        self.quality_words.setWordWrap(True)
        column.addWidget(self.quality_words)
        column.addWidget(self.quality)
        self.grid.setMinimumHeight(THEME.scaled(190))  # some rows, however many bars there are
        return scrolled(body)

    def _lay_out(self) -> None:
        heading = QLabel(self._model)
        heading.setProperty("role", "heading")
        words = QLabel(
            tr("Each type is written as a model of its own; {name} stays.", name=self._model)
        )
        words.setProperty("role", "muted")
        words.setWordWrap(True)
        self.problem.setProperty("role", "warn")
        self.problem.setWordWrap(True)
        self.problem.hide()
        self.name.setAccessibleName(tr("Name of the new model"))
        self.name.textChanged.connect(lambda _: self._choose())
        self.matrix.setToolTip(
            tr("Says which weights matter most; better results for small types.")
        )
        self.matrix.clicked.connect(lambda _=False: self._choose_matrix())
        self.act.setProperty("role", "primary")
        self.act.setDefault(True)
        self.act.setEnabled(False)
        dress(self.act, "check", "on_accent")
        self.act.clicked.connect(lambda _=False: self.begin())
        self.leave.clicked.connect(lambda _=False: self.reject())
        named = QHBoxLayout()
        named.setSpacing(S)
        named.addWidget(QLabel(tr("Name")))
        named.addWidget(self.name, 1)
        named.addWidget(self.matrix)
        buttons = QHBoxLayout()
        buttons.setSpacing(S)
        buttons.addWidget(self.summary, 1)
        buttons.addWidget(self.leave)
        buttons.addWidget(self.act)
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, XL, XL, XL)
        column.setSpacing(M)
        for widget in (heading, words, self.problem, self.again):
            column.addWidget(widget)
        column.addWidget(self.content, 1)
        column.addLayout(named)
        column.addLayout(buttons)


def _told(target: Target) -> str:
    return f"{figures.size(target.n_bytes)}  ·  {target.bits:.1f} {tr('bits')}"


def _is_name(text: str) -> bool:
    if not text.strip():
        return True
    try:
        ModelName.parse(text.strip())
    except InvalidName:
        return False
    return True

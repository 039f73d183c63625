"""Choosing where the models are kept: what it would take, and whether they move or stay behind."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from gui import figures
from gui.errands import Task
from gui.link import Link
from gui.local import place_for_models
from gui.theme import THEME, XL, M, S
from gui.words import sentence, tr
from runner.client.client import Client
from runner.domain.job import Job
from runner.domain.storage import Folder, FolderPlan
from runner.errors import CorralError

#: Milliseconds after the last key until the daemon is asked about a folder.
_SETTLE_MS = 400


class FolderDialog(QDialog):
    """Asks the daemon about each folder that is typed or chosen; does nothing until it is told to.

    Signals:
        begun: The ``Job`` that moves the models.
        used: Another folder is in use, whose models are there.
    """

    begun = Signal(object)
    used = Signal()

    def __init__(self, parent: QWidget, link: Link, now: Folder) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("Where models are kept"))
        self.setMinimumWidth(min(THEME.scaled(560), 760))
        self._link, self._now = link, now
        self._asked: Task | None = None
        self.plan: FolderPlan | None = None
        self.field, self.choose = QLineEdit(), QPushButton(tr("Choose…"))
        self.usual = QPushButton(tr("The usual folder"))
        self.moves, self.uses = QRadioButton(tr("Move the models there")), QRadioButton()
        self.state, self.stays = QLabel(), QLabel(tr("The models here stay where they are."))
        self.act, self.leave = QPushButton(), QPushButton(tr("Cancel"))
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self.ask)
        self._connect()
        self._lay_out()
        self._show_plan(None)

    @property
    def folder(self) -> str | None:
        """What is chosen; ``None``: the usual folder."""
        text = self.field.text().strip()
        return None if text == self._now.usual else text

    def take(self, folder: str) -> None:
        """Take a folder that was chosen; in one that holds other files, a new one inside of it."""
        self._drop()
        self._asked = self._link.call(
            lambda _: place_for_models(Path(folder)), lambda place: self.field.setText(str(place))
        )

    def ask(self) -> None:
        """Ask the daemon what the folder in the field would take."""
        self._settle.stop()
        self._drop()
        folder = self.folder
        if folder == "":
            self._show_plan(None)
            return
        self._say(tr("Looking at the folder…"), "muted")
        self._asked = self._link.call(
            lambda client: client.plan_folder(folder), self._show_plan, self._refused
        )

    def begin(self) -> None:
        """Do what is chosen."""
        folder = self.folder
        self.act.setEnabled(False)
        if self.moves.isChecked():
            self._link.call(lambda client: client.begin_move(folder), self._has_begun, self._failed)
        else:
            self._link.call(lambda client: _use(client, folder), self._in_use, self._failed)

    def done(self, result: int) -> None:
        """Ask no further: nobody looks."""
        self._drop()
        super().done(result)

    def _connect(self) -> None:
        self.field.textChanged.connect(self._typed)
        self.choose.clicked.connect(lambda _=False: self._choose())
        self.usual.clicked.connect(lambda _=False: self.field.setText(self._now.usual))
        self.usual.setVisible(self._now.folder != self._now.usual)
        self.moves.setChecked(True)
        self.moves.toggled.connect(lambda _: self._fit_action())
        self.act.clicked.connect(lambda _=False: self.begin())
        self.leave.clicked.connect(lambda _=False: self.reject())

    def _lay_out(self) -> None:
        heading = QLabel(tr("Where models are kept"))
        heading.setProperty("role", "heading")
        words = QLabel(tr("Now: {folder}", folder=self._now.folder))
        self.stays.setProperty("role", "muted")
        for label in (words, self.state, self.stays):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        words.setProperty("role", "muted")
        self.field.setAccessibleName(tr("Folder for the models"))
        self.field.setPlaceholderText(tr("Folder for the models"))
        self.act.setProperty("role", "primary")
        self.act.setDefault(True)
        row = QHBoxLayout()
        row.setSpacing(S)
        row.addWidget(self.field, 1)
        row.addWidget(self.choose)
        row.addWidget(self.usual)
        buttons = QHBoxLayout()
        buttons.setSpacing(S)
        buttons.addStretch()
        buttons.addWidget(self.leave)
        buttons.addWidget(self.act)
        column = QVBoxLayout(self)
        column.setContentsMargins(XL, XL, XL, XL)
        column.setSpacing(M)
        for widget in (heading, words):
            column.addWidget(widget)
        column.addLayout(row)
        column.addWidget(self.state)
        column.addWidget(self.moves)
        column.addWidget(self.uses)
        column.addWidget(self.stays)
        column.addLayout(buttons)

    def _choose(self) -> None:
        dialog = QFileDialog(self, tr("Choose…"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(self.take)
        dialog.open()

    def _typed(self) -> None:
        self.plan = None
        self._fit_action()
        self._settle.start()

    def _drop(self) -> None:
        if self._asked is not None:
            self._asked.cancel()

    def _show_plan(self, plan: FolderPlan | None) -> None:
        self.plan = plan
        n_there = plan.n_there if plan else 0
        self.uses.setText(tr("Use the models there: {n}", n=n_there))
        self.uses.setEnabled(plan is not None)
        self.moves.setEnabled(plan is not None and plan.n_models > 0 and not n_there)
        if plan is None:
            self._say("", "muted")
        else:
            # Models that are there are used; where there are none anywhere, there is no choice.
            (self.moves if self.moves.isEnabled() else self.uses).setChecked(True)
            self._say(_told(plan), "muted" if plan.fits else "bad")
        self._fit_action()

    def _fit_action(self) -> None:
        is_move = self.moves.isChecked()
        self.stays.setVisible(not is_move and self.plan is not None)
        self.act.setText(tr("Move the models") if is_move else tr("Use this folder"))
        plan = self.plan
        self.act.setEnabled(plan is not None and (plan.fits or not is_move))

    def _refused(self, error: CorralError) -> None:
        self._show_plan(None)
        self._failed(error)

    def _failed(self, error: CorralError) -> None:
        self._say(f"{sentence(error)} [{error.code}]", "bad")
        self._fit_action()

    def _has_begun(self, job: Job) -> None:
        self.begun.emit(job)
        self.accept()

    def _in_use(self, _: FolderPlan) -> None:
        self.used.emit()
        self.accept()

    def _say(self, text: str, role: str) -> None:
        self.state.setText(text)
        self.state.setProperty("role", role)
        self.state.style().unpolish(self.state)
        self.state.style().polish(self.state)


def _use(client: Client, folder: str | None) -> FolderPlan:
    return client.use_folder(folder)


def _told(plan: FolderPlan) -> str:
    free = figures.size(plan.n_free)
    whole = figures.size(plan.n_bytes)
    if not plan.fits:
        needed = figures.size(plan.n_left)
        return tr("{needed} are needed there, {free} are free.", needed=needed, free=free)
    if plan.n_left == 0 and plan.n_models:
        return tr(
            "Models: {n}, {size}. The disk is the same, so nothing is copied.",
            n=plan.n_models,
            size=whole,
        )
    return tr("Models: {n}, {size}. Free there: {free}.", n=plan.n_models, size=whole, free=free)

"""Where the models are kept: the folder, what is free there, and the way to another one."""

from __future__ import annotations

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from gui import figures
from gui.link import Link, Phase
from gui.theme import XS, S
from gui.views.folder_dialog import FolderDialog
from gui.widgets.spoken import Spoken
from gui.widgets.usage_bar import UsageBar
from gui.words import tr
from runner.client.decode_keeping import Change
from runner.client.keeping import job_of, jobs_of
from runner.domain.job import Job, JobState
from runner.domain.storage import Folder
from runner.errors import from_code

#: Kind of the job that moves the models.
MOVE = "move"


class FolderPanel(QWidget, Spoken):
    """Asks the daemon; shows a move that is under way, whoever began it.

    Signals:
        failed: A title, and a ``CorralError``.
    """

    failed = Signal(str, object)

    def __init__(self, link: Link) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self._link = link
        self._folder: Folder | None = None
        self.job: Job | None = None
        self.field = QLineEdit(str(link.paths.models))
        self.field.setReadOnly(True)
        self.opener, self.change, self.cancel = QPushButton(), QPushButton(), QPushButton()
        self.words, self.bar = QLabel(), UsageBar()
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.opener.clicked.connect(lambda _=False: self._open())
        self.change.clicked.connect(lambda _=False: self.ask())
        self.cancel.clicked.connect(lambda _=False: self._cancel())
        self._lay_out()
        self.say(self.field.setAccessibleName, lambda: tr("Folder for the models"))
        self.say(self.opener.setText, lambda: tr("Open"))
        self.say(
            self.opener.setAccessibleName, lambda: tr("Open the folder: {name}", name=tr("Models"))
        )
        self.say(self.change.setText, lambda: tr("Change…"))
        self.say(self.change.setAccessibleName, lambda: tr("Change where models are kept"))
        self.say(self.cancel.setText, lambda: tr("Cancel"))
        self.setFocusProxy(self.change)
        link.told.connect(self._on_told)
        self._write()

    def refresh(self) -> None:
        """Ask the daemon where the models are."""
        if self._link.state.phase is Phase.UP:
            self._link.call(lambda client: client.folder(), self._took)
            self._link.call(lambda client: client.jobs(), self._take_jobs)

    def ask(self) -> None:
        """Open the dialog that chooses another folder."""
        if self._folder is None:
            return
        dialog = FolderDialog(self.window(), self._link, self._folder)
        dialog.begun.connect(self._show_job)
        dialog.used.connect(self.refresh)
        dialog.open()

    def say_again(self) -> None:
        super().say_again()
        self._write()

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(S)
        row.addWidget(self.field, 1)
        row.addWidget(self.opener)
        row.addWidget(self.change)
        moving = QHBoxLayout()
        moving.setSpacing(S)
        moving.addWidget(self.bar, 1)
        moving.addWidget(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(XS)
        column.addLayout(row)
        column.addWidget(self.words)
        column.addLayout(moving)

    def _open(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(self.field.text()))

    def _cancel(self) -> None:
        if (job := self.job) is not None:
            title = tr("The move cannot be cancelled")
            self._link.call(
                lambda client: client.cancel_job(job.job_id),
                self._show_job,
                lambda error: self.failed.emit(title, error),
            )

    def _took(self, folder: Folder) -> None:
        self._folder = folder
        self._write()

    def _take_jobs(self, jobs: list[Job]) -> None:
        for job in jobs:
            if job.kind == MOVE and not job.state.is_over:
                self._show_job(job)

    def _on_told(self, change: Change) -> None:
        if (job := job_of(change)) is not None and job.kind == MOVE:
            self._show_job(job)
        self._take_jobs(jobs_of(change) or [])

    def _show_job(self, job: Job) -> None:
        known, self.job = self.job, None if job.state.is_over else job
        if job.state.is_over and known is not None and known.job_id == job.job_id:
            if job.state is JobState.FAILED and job.error is not None:
                error = from_code(job.error.code, job.error.message, job.error.hint)
                self.failed.emit(tr("The models were not moved"), error)
            self.refresh()
        self._write()

    def _write(self) -> None:
        folder, job = self._folder, self.job
        is_fixed = folder is not None and bool(folder.fixed_by)
        self.change.setEnabled(folder is not None and not is_fixed and job is None)
        self.opener.setEnabled(self._link.is_local)
        self.bar.setVisible(job is not None)
        self.cancel.setVisible(job is not None)
        if job is not None:
            told = _moving(job)
            self.bar.show_shares(max(1, job.n_bytes), [(job.n_done, "accent")], told)
        if folder is not None:
            self.field.setText(folder.folder)
            self.field.setCursorPosition(0)
            self._tell(folder)
        self.words.setVisible(folder is not None)

    def _tell(self, folder: Folder) -> None:
        free, whole = figures.size(folder.n_free), figures.size(folder.n_bytes)
        text, role = tr("{free} free of {size}", free=free, size=whole), "muted"
        if folder.fixed_by:
            fixed = tr("{name} in the daemon's environment has it.", name=folder.fixed_by)
            text = f"{text}. {fixed}"
        if not folder.is_there:
            text = tr("This folder is not there: connect its disk, or choose another one.")
            role = "bad"
        self.words.setText(text)
        self.words.setProperty("role", role)
        self.words.style().unpolish(self.words)
        self.words.style().polish(self.words)


def _moving(job: Job) -> str:
    if not job.n_bytes:
        return tr("Moving to {folder}…", folder=job.name)
    done, whole = figures.size(job.n_done), figures.size(job.n_bytes)
    return tr("Moving to {folder}: {done} of {whole}", folder=job.name, done=done, whole=whole)

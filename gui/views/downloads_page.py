"""Downloads: the queue of jobs, how far each is, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from gui import figures
from gui.job_watch import report
from gui.local import Disk, disk_of, models_folder
from gui.mender import Mender
from gui.models.job_table import job_table, remark
from gui.models.table import Sorted
from gui.pages import House
from gui.theme import S
from gui.views.sheet import Sheet
from gui.widgets.ask import ask_text, confirm
from gui.widgets.content import Content
from gui.widgets.flow import FlowRow
from gui.widgets.grid import Grid
from gui.widgets.progress_cell import ProgressCell
from gui.widgets.usage_bar import UsageBar
from gui.widgets.way_row import WayRow
from gui.words import tr
from runner.client.client import Client
from runner.client.connection import Json
from runner.domain.job import Job, JobState
from runner.domain.speed import parse_speed
from runner.errors import CorralError

#: Milliseconds between two looks at the jobs: while something moves, and else.
_BUSY_MS, _IDLE_MS = 1000, 5000
_PROGRESS = 2  # which column


class DownloadsPage(Sheet):
    """A table of jobs and buttons for the one that is chosen."""

    title = "Downloads"
    subtitle = "Downloads go on when this window is closed, and after a restart."

    def __init__(self, house: House) -> None:
        super().__init__(house)
        self.table = job_table()
        self.grid = Grid(
            Sorted(self.table, self), stretched=0, widths=(260, 115, 150, 145, 70, 110, 100)
        )
        self.grid.setItemDelegateForColumn(_PROGRESS, ProgressCell(self.grid))
        self.grid.sortByColumn(1, Qt.SortOrder.AscendingOrder)
        self.say(self.grid.setAccessibleName, lambda: tr("Downloads"))
        self.disk = UsageBar()
        self.reason = QLabel()
        self.reason.setProperty("role", "bad")
        self.reason.setWordWrap(True)
        self.reason.setTextFormat(Qt.TextFormat.PlainText)
        self.ways = WayRow()
        self._mender = Mender(self.link, self)
        self._mender.told.connect(self.banner.show_note)
        self._buttons: dict[str, QPushButton] = {}
        self._disk: Disk | None = None
        self.add_tool(lambda: tr("Limit all…"), self._limit_all)
        self.content = Content(self._body())
        self.column.addWidget(self.content, 1)
        self.column.addWidget(self.disk)
        self.disk.hide()
        self.content.show_loading(tr("Reading the jobs…"))
        self.grid.chosen.connect(self._choose)
        self.grid.deleted_row.connect(lambda job: self._do("cancel", job))
        self.grid.menu_wanted.connect(self._show_menu)

    def refresh(self) -> None:
        """Ask for the jobs, and how full the disk is."""
        self.link.call(lambda client: client.jobs(), self._took, self._failed)
        if self.link.is_local:
            paths = self.link.paths
            self.link.call(lambda _: disk_of(models_folder(paths)), self._took_disk)

    def show_down(self, error: CorralError) -> None:
        self._failed(error)

    def retranslate(self) -> None:
        super().retranslate()
        self.ways.retranslate()
        self._choose(self.grid.current)
        self._took_disk(self._disk)

    def _body(self) -> QWidget:
        row = FlowRow()
        for verb, text in _VERBS:
            button = self.button(text, partial(self._do_chosen, verb))
            self._buttons[verb] = button
            row.flow.addWidget(button)
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(S)
        column.addWidget(self.grid, 1)
        column.addWidget(self.reason)
        column.addWidget(self.ways)
        column.addWidget(row)
        return body

    def _took(self, jobs: list[Job]) -> None:
        self.table.set_rows(jobs)
        report(jobs)
        is_busy = any(job.state is JobState.RUNNING for job in jobs)
        self.every(_BUSY_MS if is_busy else _IDLE_MS)
        if not jobs:
            self.content.show_empty(
                tr("No downloads"),
                tr("What you download shows here, with its speed and the time left."),
                [(tr("Discover models"), lambda: self.house.go("discover"))],
            )
            return
        self.content.show_body()
        if self.grid.current is None:
            self.grid.choose(lambda job: True)

    def _failed(self, error: CorralError) -> None:
        again = (tr("Try again"), self.refresh)
        self.content.show_error(tr("The jobs cannot be read"), error, [again])

    def _took_disk(self, disk: Disk | None) -> None:
        self._disk = disk
        self.disk.setVisible(disk is not None)
        if disk is None:
            return
        n_coming = sum(
            max(0, job.n_bytes - job.n_done)
            for job in self.table.rows
            if not job.state.is_over and job.n_bytes
        )
        n_used = disk.n_bytes - disk.n_free
        is_short = n_coming > disk.n_free
        words = tr(
            "{free} free of {size} on the models' disk",
            free=figures.size(disk.n_free),
            size=figures.size(disk.n_bytes),
        )
        if n_coming:
            words += "  ·  " + tr("{size} still to come", size=figures.size(n_coming))
        shares = [(n_used, "muted"), (n_coming, "bad" if is_short else "accent")]
        self.disk.show_shares(disk.n_bytes, shares, words)

    def _choose(self, job: Job | None) -> None:
        for verb, button in self._buttons.items():
            button.setEnabled(job is not None and is_possible(verb, job))
        words = remark(job) if job is not None else ""
        self.reason.setVisible(bool(words))
        self.reason.setText(words)
        self._show_ways(job)
        role = "bad" if job is not None and job.error is not None else "muted"
        if self.reason.property("role") != role:
            self.reason.setProperty("role", role)
            self.reason.style().unpolish(self.reason)
            self.reason.style().polish(self.reason)

    def _show_ways(self, job: Job | None) -> None:
        """Offer what helps with the error of a job."""
        if job is None or job.error is None:
            self.ways.show_code(None, {})
            return

        def again() -> None:
            self._steer(lambda client: client.steer_job(job.job_id, "resume"))

        error = job.error
        acts = self._mender.acts_for_download(job.name, f"{error.message} {error.hint}", again)
        self.ways.show_code(error.code, acts)

    def _show_menu(self, at: QPoint, job: Job) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for verb, text in _VERBS:
            if is_possible(verb, job):
                menu.addAction(text(), partial(self._do, verb, job))
        if menu.isEmpty():
            menu.deleteLater()
        else:
            menu.popup(at)

    def _do_chosen(self, verb: str) -> None:
        self._do(verb, self.grid.current)

    def _do(self, verb: str, job: Job | None) -> None:
        if job is None or not is_possible(verb, job):
            return
        match verb:
            case "up" | "down":
                self._move(job, -1 if verb == "up" else 1)
            case "limit":
                self._limit(job)
            case "cancel":
                title = tr("Remove the download of {name}?", name=job.name)
                what = tr("What has arrived of it, {size}, is removed.", size=_arrived(job))
                confirm(self, title, what, tr("Remove"), lambda: self._cancel(job))
            case "chat":
                self.house.settings.change(model=job.name)
                self.house.go("chat")
            case _:
                self._steer(lambda client: client.steer_job(job.job_id, verb))

    def _cancel(self, job: Job) -> None:
        self._steer(lambda client: client.cancel_job(job.job_id))

    def _move(self, job: Job, by: int) -> None:
        queue = sorted(
            (one for one in self.table.rows if not one.state.is_over), key=lambda one: one.place
        )
        at = next((i for i, one in enumerate(queue) if one.job_id == job.job_id), 0)
        body: Json = {"place": max(0, at + by)}
        self._steer(lambda client: client.steer_job(job.job_id, "move", body))

    def _limit(self, job: Job) -> None:
        def limit(text: str) -> None:
            body: Json = {"limit": text}
            self._steer(lambda client: client.steer_job(job.job_id, "limit", body))

        ask_text(
            self,
            tr("Limit the speed of {name}", name=job.name),
            tr("Bytes a second, such as 5M or 500k; 0 is no limit."),
            tr("Limit"),
            limit,
            value=_speed_text(job.limit_bps),
            is_good=is_speed,
        )

    def _limit_all(self) -> None:
        ask_text(
            self,
            tr("Limit the speed of all downloads together"),
            tr("Bytes a second, such as 5M or 500k; 0 is no limit."),
            tr("Limit"),
            lambda text: self._steer(lambda client: client.limit_jobs(text)),
            value="0",
            is_good=is_speed,
        )

    def _steer(self, act: Callable[[Client], object]) -> None:
        failed = self.act_failed(tr("The job cannot be changed"))
        self.link.call(act, lambda _: self.refresh(), failed)


#: What can be asked of a job, and its words.
_VERBS: tuple[tuple[str, Callable[[], str]], ...] = (
    ("pause", lambda: tr("Pause")),
    ("resume", lambda: tr("Resume")),
    ("up", lambda: tr("Move up")),
    ("down", lambda: tr("Move down")),
    ("limit", lambda: tr("Limit…")),
    ("cancel", lambda: tr("Remove…")),
    ("chat", lambda: tr("Chat now")),
)


def is_possible(verb: str, job: Job) -> bool:
    """Return whether a job in its state can be asked this."""
    match verb:
        case "pause":
            return job.state in (JobState.RUNNING, JobState.QUEUED) and job.kind == "pull"
        case "resume":
            return job.state in (JobState.PAUSED, JobState.FAILED, JobState.CANCELLED)
        case "up" | "down" | "limit":
            return not job.state.is_over
        case "cancel":
            return job.state not in (JobState.DONE, JobState.CANCELLED)
        case _:
            return job.state is JobState.DONE


def is_speed(text: str) -> bool:
    """Return whether the daemon will understand a speed."""
    try:
        parse_speed(text)
    except ValueError:
        return False
    return True


def _speed_text(limit_bps: int) -> str:
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if limit_bps and limit_bps % unit == 0:
            return f"{limit_bps // unit}{letter}"
    return str(limit_bps)


def _arrived(job: Job) -> str:
    return figures.size(job.n_done)

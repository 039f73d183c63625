"""Looks after the downloads on every page and with the window closed: the tray shows them.

The daemon tells what becomes of its jobs; where it does not, it is asked now and then.  What can be
done with them is the downloads page's.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, QTimer

from gui.activity import ACTIVITY
from gui.errands import Task
from gui.link import Link, Phase, State
from gui.words import tr
from runner.client.decode_keeping import Change
from runner.client.keeping import job_of, jobs_of
from runner.domain.job import Job, JobState
from runner.errors import CorralError

#: Milliseconds between two looks at a daemon that does not tell: while something moves, and else.
_BUSY_MS, _IDLE_MS = 2000, 10_000
#: Kinds of jobs whose end the library's page tells, and that are no downloads.
_TOLD_ELSEWHERE = ("verify", "repair")


class JobWatch(QObject):
    """Lives as long as the app."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link
        self._asked: Task | None = None
        self._jobs: dict[int, Job] = {}
        self._pulse = QTimer(self)
        self._pulse.setInterval(_IDLE_MS)
        self._pulse.timeout.connect(self.look)
        link.changed.connect(self._on_state)
        link.told.connect(self._on_told)
        self._on_state(link.state)

    def look(self) -> None:
        """Ask for the jobs, unless the last question is still open."""
        if self._asked is None:
            self._asked = self._link.call(lambda client: client.jobs(), self._took, self._failed)

    def _on_state(self, state: State) -> None:
        if state.phase is not Phase.UP:
            self._pulse.stop()
            ACTIVITY.set_downloads({})
            ACTIVITY.set_loads(frozenset())
        elif not self._pulse.isActive():
            self._pulse.start()
            self.look()

    def _on_told(self, change: Change) -> None:
        """The daemon tells: nobody needs to ask any more."""
        ACTIVITY.set_loads(frozenset(self._link.loads))
        if (jobs := jobs_of(change)) is not None:
            self._pulse.stop()
            if self._asked is not None:  # what it answers is older than what is told from now on
                self._asked.cancel()
                self._asked = None
            self._set(jobs)
        elif (job := job_of(change)) is not None:
            self._set([*self._jobs.values(), job])

    def _took(self, jobs: list[Job]) -> None:
        self._asked = None
        self._set(jobs)
        moves = any(job.state is JobState.RUNNING for job in jobs)
        self._pulse.setInterval(_BUSY_MS if moves else _IDLE_MS)

    def _failed(self, _: CorralError) -> None:
        self._asked = None  # the link tells how the daemon is

    def _set(self, jobs: Sequence[Job]) -> None:
        """Tell how far the jobs are, and of those that ended well just now."""
        known, self._jobs = self._jobs, {job.job_id: job for job in jobs}
        for job in self._jobs.values():
            was = known.get(job.job_id)
            is_new = was is not None and not was.state.is_over and job.state is JobState.DONE
            if is_new and job.kind not in _TOLD_ELSEWHERE:
                ACTIVITY.announce(_title(job), job.name)
        report(list(self._jobs.values()))


def _title(job: Job) -> str:
    return tr("A model is ready") if job.kind in ("pull", "import") else tr("A job is done")


def report(jobs: Sequence[Job]) -> None:
    """Tell how far the jobs are that are running."""
    ACTIVITY.set_downloads(
        {
            job.job_id: min(100, job.n_done * 100 // job.n_bytes) if job.n_bytes else 0
            for job in jobs
            if job.state is JobState.RUNNING and job.kind not in _TOLD_ELSEWHERE
        }
    )

"""Downloads and other long jobs as a table."""

from __future__ import annotations

import time

from gui import figures
from gui.models.table import Column, Table
from gui.titles import title_of
from gui.words import tr
from runner.domain.hub_url import HUB_HOSTS
from runner.domain.job import Job, JobState
from runner.domain.name import ModelName
from runner.errors import InvalidName

_STATES = {
    JobState.QUEUED: "Waiting",
    JobState.RUNNING: "Downloading",
    JobState.PAUSED: "Paused",
    JobState.DONE: "Done",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
}
#: What a running job does that is no download, by its kind.
_DOING = {"import": "Importing", "move": "Moving"}
#: Words of the daemon for phases that are not the fetching itself.
_PHASES = {
    "pulling manifest": "Resolving",
    "verifying sha256 digest": "Verifying",
    "writing manifest": "Finishing",
    "waiting for other downloads": "Waiting",
}


def share(job: Job) -> float:
    """Return how much is done, from 0 to 1; negative when that cannot be told."""
    if job.state is JobState.DONE:
        return 1.0
    return min(1.0, job.n_done / job.n_bytes) if job.n_bytes else -1.0


def state_text(job: Job) -> str:
    """Return where a job is in its life, in a word or two."""
    if job.state is JobState.RUNNING and job.phase in _PHASES:
        return tr(_PHASES[job.phase])
    if job.state is JobState.RUNNING and job.kind in _DOING:
        return tr(_DOING[job.kind])
    return tr(_STATES[job.state])


def amount(job: Job) -> str:
    """Return what has arrived of how much."""
    if job.state is JobState.DONE or not job.n_bytes:
        return figures.size(job.n_bytes) if job.n_bytes else ""
    return f"{figures.size(job.n_done)} / {figures.size(job.n_bytes)}"


def news(job: Job) -> str:
    """Return the speed, or when it ended."""
    if job.state is JobState.RUNNING:
        return figures.speed(job.rate_bps) if job.rate_bps else ""
    return figures.ago(job.finished, time.time()) if job.finished else ""


def job_table() -> Table[Job]:
    """Return an empty table of jobs."""
    return Table[Job](
        (
            Column("Name", lambda j: j.name, tip=lambda j: j.name),
            Column("State", state_text, _order),
            Column("Progress", lambda j: f"{share(j):.0%}" if share(j) >= 0 else "", share),
            Column("Arrived", amount, lambda j: j.n_bytes, True),
            Column("Left", _left, lambda j: j.eta_s or 0.0, True),
            Column("Source", source_text, lambda j: j.source, tip=source_text),
            Column("Details", news, tip=remark),
        ),
        key=lambda job: job.job_id,
    )


def source_text(job: Job) -> str:
    """Return where the bytes come from, and whether that is another hub than the name's."""
    if not job.source:
        return ""
    try:
        host = ModelName.parse(job.name).host
    except InvalidName:  # of a file
        return job.source
    wanted, told = HUB_HOSTS.get(host), HUB_HOSTS.get(job.source)
    if wanted is None or told in (None, wanted):
        return job.source
    return tr("{source}, in place of {hub}", source=job.source, hub=host)


def _left(job: Job) -> str:
    return figures.left(job.eta_s) if job.state is JobState.RUNNING else ""


def _order(job: Job) -> tuple[bool, int, int]:
    """The queue first, in its order; then what is over, the latest first."""
    return job.state.is_over, 0 if job.state.is_over else job.place, -job.job_id


def remark(job: Job) -> str:
    """Return what else there is to say: why it failed or paused by itself, or its limit."""
    if job.error is not None:
        what = f"{title_of(job.error.code)}: {job.error.message}"
        return "\n".join((what, f"{job.error.hint}  [{job.error.code}]".strip()))
    if job.limit_bps and not job.state.is_over:
        return tr("limit {speed}", speed=figures.speed(job.limit_bps))
    return ""

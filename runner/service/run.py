"""What a job is while the daemon lives: its work, its run on a thread, its followers, its pace."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec

from runner.domain.job import Job, JobError, JobState
from runner.domain.progress import Progress
from runner.errors import CapacityError, CorralError, DiskFull, InvalidRequest, JobUnderWay
from runner.hub.throttle import Throttle
from runner.logs import pairs
from runner.store.state import StoredJob

logger = logging.getLogger(__name__)
T = TypeVar("T")

_RATE_WINDOW_S = 5.0


@dataclass(slots=True, eq=False)
class Run:
    """What the work of a job gets, and leaves.

    Attributes:
        throttle: The job's own limit on speed.
        stop: Set when the work should end at its next step.
        held: Set while the work should stand still, for those jobs that can.
        goes_on: Whether it stops only because the daemon ends: the next one begins it again, and
            what it has may stay.
        keys: Files that arrive for it; ``note`` adds one.
        result: What the work found, for those jobs that find something.
    """

    throttle: Throttle
    stop: threading.Event = field(default_factory=threading.Event)
    held: threading.Event = field(default_factory=threading.Event)
    goes_on: bool = False
    result: object = None
    keys: tuple[str, ...] = ()
    on_keys: Callable[[tuple[str, ...]], object] = lambda keys: None

    def note(self, key: str) -> None:
        """Remember that a file arrives for this job; called on the work's thread."""
        if key not in self.keys:
            self.keys = (*self.keys, key)
            self.on_keys(self.keys)


#: What the work of a job is: blocking, and closed to stop it.
Work = Callable[[Run], Generator[Progress, None, None]]


@dataclass(slots=True, eq=False)
class Pace:
    """How fast something grows: the mean over the last seconds."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque)
    _of: str = ""

    def record(self, now: float, of: str, n_done: int) -> int:
        """Take a count of bytes done and return bytes a second.

        What was there when it begins, of a download that goes on, is no speed: counting starts
        with the first byte.

        Args:
            now: Seconds on a clock that never goes back.
            of: What is counted; the count begins anew with something else.
            n_done: Bytes.
        """
        if not n_done or of != self._of or (self._seen and n_done < self._seen[-1][1]):
            self._seen.clear()
            self._of = of
        if not n_done:
            return 0
        self._seen.append((now, n_done))
        while len(self._seen) > 2 and now - self._seen[0][0] > _RATE_WINDOW_S:
            self._seen.popleft()
        (start, before), (end, after) = self._seen[0], self._seen[-1]
        return int((after - before) / (end - start)) if end > start else 0


#: How a job ended for its followers: an error, or ``None``.
End = Exception | None
#: What one follower is told.
Followed = asyncio.Queue[Progress | End]


@dataclass(slots=True, eq=False)
class LiveJob:
    """A job of this daemon's life.

    Attributes:
        job: As it is now.
        work: What to do when its turn comes; ``None`` for one that is over.
        is_lasting: Whether it waits for its turn, and keeps what it has.
        can_stand_still: Whether it pauses in the middle of its work, and keeps that in memory.
        request: What it was asked to do, as JSON has it; the next daemon begins it again by that.
        keys: Files that arrive for it.
        result: What it found, once it is done.
    """

    job: Job
    work: Work | None
    is_lasting: bool
    can_stand_still: bool = False
    request: Any = None
    keys: tuple[str, ...] = ()
    run: Run | None = None
    result: object = None
    last: Progress | None = None
    followers: list[Followed] = field(default_factory=list)
    pace: Pace = field(default_factory=Pace)
    throttle: Throttle = field(default_factory=Throttle)

    @property
    def is_kept(self) -> bool:
        """Whether the next daemon finds it."""
        return self.is_lasting or self.request is not None

    def stored(self) -> StoredJob:
        """It as the next daemon finds it; what nothing will come of needs no request any more."""
        is_gone = self.job.state in (JobState.DONE, JobState.CANCELLED)
        job = replace(self.job, rate_bps=0, eta_s=None)
        request = None if is_gone else self.request
        return StoredJob(job, self.keys, request, self.can_stand_still)


#: Returns the work of a job of the last daemon; ``None`` when it cannot go on.
TakeUp = Callable[[StoredJob], Work | None]


def taken_up(stored: StoredJob, make_work: TakeUp) -> LiveJob | None:
    """Return a job of the last daemon as this one begins with it: queued, if it was on its way.

    ``None``: it was that daemon's alone, such as a look at all models; older versions stored those.
    """
    job, work = stored.job, make_work(stored)
    if work is None and job.state is JobState.PAUSED:
        return None
    if job.state in (JobState.RUNNING, JobState.QUEUED):
        job = replace(job, state=JobState.QUEUED, rate_bps=0, eta_s=None, is_attended=False)
        if work is None:
            words = "this version of Corral does not know how to go on with it"
            why = JobError(InvalidRequest.code, words, hint="begin it anew, or cancel it")
            job = replace(job, state=JobState.FAILED, error=why, finished=time.time())
    live = LiveJob(
        job,
        work,
        is_lasting=stored.request is None,
        can_stand_still=stored.can_stand_still,
        request=stored.request,
        keys=stored.keys,
    )
    live.throttle.set_rate(job.limit_bps)
    return live


def as_json(request: object) -> Any:
    """Return what a job is asked for, paths too, as the next daemon will find it."""
    return msgspec.json.decode(msgspec.json.encode(request, enc_hook=os.fspath))


def request_of(stored: StoredJob, kind: str, of: type[T]) -> T | None:
    """Return what a job of the last daemon was asked for; ``None``: it is of another kind.

    One that this program does not understand, since another version wrote it, is none either.
    """
    if stored.job.kind != kind or stored.request is None:
        return None
    try:
        return msgspec.convert(stored.request, of, dec_hook=lambda kind, text: kind(text))
    except msgspec.ValidationError as error:
        logger.warning("job left %s", pairs(job=stored.job.job_id, reason=error))
        return None


def refuse_another(live: LiveJob, request: object) -> None:
    """Return if a job on its way was asked for the same thing.

    Raises:
        JobUnderWay: It was asked for something else of this name.
    """
    if live.request != request and not live.job.state.is_over:
        raise _under_way(live.job, f"is at '{live.job.name}' already, with other settings")


def refuse_made(others: Iterable[Job], kind: str, names: str) -> None:
    """Return if none of ``others`` is at the same thing, or will give one of ``names``.

    Args:
        others: Jobs.  A paused download keeps a name from nobody: many never go on.
        kind: What is to be begun.
        names: As a job is called that gives them.

    Raises:
        JobUnderWay: One will, and whoever writes last would have the name.
    """
    wanted = _given(kind, names)
    for job in others:
        is_same = (job.kind, job.name.lower()) == (kind, names.lower())
        is_left = job.kind == "pull" and job.state is JobState.PAUSED
        is_in_the_way = is_same or (not is_left and wanted & _given(job.kind, job.name))
        if is_in_the_way and not job.state.is_over:
            raise _under_way(job, f"is {doing(job)} already")


def _given(kind: str, names: str) -> set[str]:
    """The names that a job will give; without regard to case, as the library has them."""
    return set(names.lower().split(", ")) if kind in _MAKERS else set()


def _under_way(job: Job, what: str) -> JobUnderWay:
    return JobUnderWay(
        f"job {job.job_id} {what}",
        hint=f"wait for it, or end it: corral jobs cancel {job.job_id}",
    )


#: Kinds of jobs that give names, those that they are called by.
_MAKERS = frozenset({"pull", "import", "create", "quantize"})
#: What a job does, by its kind, in words that go before its name.
_DOING = {
    "import": "importing",
    "verify": "verifying",
    "repair": "repairing",
    "create": "making",
    "quantize": "quantizing",
    "perplexity": "measuring",
    "bench": "timing",
    "move": "moving the models to",
}


def doing(job: Job) -> str:
    """Return what ``job`` does, as a sentence begins: ``pulling 'qwen3:4b'``."""
    return f"{_DOING.get(job.kind, 'pulling')} '{job.name}'"


def in_order(job: Job) -> tuple[bool, int, int]:
    """Return what jobs are sorted by: those on their way as they queue, then the latest."""
    return job.state.is_over, 0 if job.state.is_over else job.place, -job.job_id


def unfinished(lives: Iterable[LiveJob], kind: str, name: str) -> LiveJob | None:
    """Return the job of this name that is not over; else the latest if that failed."""
    same = [
        live for live in lives if (live.job.kind, live.job.name.lower()) == (kind, name.lower())
    ]
    for live in same:
        if not live.job.state.is_over:
            return live
    return same[-1] if same and same[-1].job.state is JobState.FAILED else None


def end_of(live: LiveJob, error: CorralError | None) -> JobState:
    """Return the state of a job that ended by itself."""
    if error is None:
        return JobState.DONE
    # What has arrived is kept, for when there is room.
    return JobState.PAUSED if isinstance(error, DiskFull) and live.is_lasting else JobState.FAILED


def task_name(live: LiveJob) -> str:
    """Return what the task of a job is called."""
    return f"job {live.job.job_id}"


def broken_off(live: LiveJob) -> CapacityError:
    """Return what followers hear when the daemon ends in the middle of a job."""
    hint = "it goes on by itself when the daemon starts" if live.is_kept else "begin it again"
    return CapacityError(f"{doing(live.job)} was broken off", hint=hint)


def work_off(name: str, run: Run, work: Work, tell: Callable[[Progress], object]) -> None:
    """Do a job's work in this thread, until its end or until it is stopped."""
    told: Progress | None = None
    with closing(work(run)) as moments:
        for progress in moments:
            if run.stop.is_set():
                return
            if progress == told:
                continue  # reading a file again has many moments, and one word for them all
            told = progress
            tell(replace(progress, name=name) if progress.phase == "success" else progress)

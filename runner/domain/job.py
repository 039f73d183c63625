"""A long job as others see it: one shape for pulls, imports and whatever else takes its time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class JobState(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"  # waits for its turn
    RUNNING = "running"
    PAUSED = "paused"  # keeps what it has, and goes on when told
    DONE = "done"
    FAILED = "failed"  # keeps what it has; resuming tries again
    CANCELLED = "cancelled"  # what it had is gone

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen any more unless somebody asks for it."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed or paused by itself; the parts of a ``CorralError``."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One job at one moment.

    Attributes:
        job_id: Never given twice in one home.
        kind: ``pull`` or ``import``.
        name: The model it is about.
        state: Where it is in its life.
        phase: What it is doing, in words fit to show.
        n_done: Bytes done of the file at hand.
        n_bytes: Size of that file; 0 while it is not known.
        rate_bps: Bytes a second lately; 0 when it does not move.
        eta_s: Seconds left for these bytes; ``None`` when that cannot be told.
        source: Where the bytes come from, such as ``hf.co``; empty while it is not known.
        error: Why it failed, or paused by itself.
        started: Seconds since the epoch when it was asked for.
        finished: The same when it was over; ``None`` while it is not.
        place: Its place in the queue; lower ones go first.
        limit_bps: Most bytes a second it may fetch; 0: as many as come.
        is_attended: Whether it pauses when the last of its followers leaves.
    """

    job_id: int
    kind: str
    name: str
    state: JobState = JobState.QUEUED
    phase: str = ""
    n_done: int = 0
    n_bytes: int = 0
    rate_bps: int = 0
    eta_s: float | None = None
    source: str = ""
    error: JobError | None = None
    started: float = 0.0
    finished: float | None = None
    place: int = 0
    limit_bps: int = 0
    is_attended: bool = False

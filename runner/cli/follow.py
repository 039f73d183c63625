"""A job of the daemon, followed until it is over: it goes on without us when we leave."""

from __future__ import annotations

import time

from runner.cli.output import Output
from runner.client.client import Client
from runner.domain.job import Job, JobState
from runner.domain.progress import Progress
from runner.errors import CapacityError, from_code

_LOOK_S = 0.25


def follow(client: Client, job: Job, out: Output) -> Job:
    """Draw a job's progress and return it when it is done.

    Ctrl-C only stops following.

    Raises:
        CorralError: What it failed with, or that somebody cancelled it.
    """
    try:
        with out.progress() as bars:
            while not job.state.is_over:
                is_still = job.state is JobState.PAUSED
                bars.show(Progress("paused" if is_still else job.phase, job.n_done, job.n_bytes))
                time.sleep(_LOOK_S)
                job = client.job(job.job_id)
    except KeyboardInterrupt:
        say_goes_on(job, out)
        raise
    if job.error is not None:
        raise from_code(job.error.code, job.error.message, job.error.hint)
    if job.state is not JobState.DONE:
        raise CapacityError(f"job {job.job_id} was cancelled")
    return job


def say_goes_on(job: Job, out: Output) -> None:
    """Say that a job is not over, and how it is ended."""
    out.say(f"job {job.job_id} goes on; see it with: corral jobs")
    out.say(f"  end it with: corral jobs cancel {job.job_id}")

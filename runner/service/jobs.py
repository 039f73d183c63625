"""Jobs: one for each thing that is asked for, however many follow it, kept across restarts.

A job's work runs on a thread.  A follower gets the job's last moment at once, then every change.
An attended job pauses when its last follower leaves; one that was begun apart goes on alone, and so
does whatever ran when the daemon ended.  All methods are called on the daemon's loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from runner.domain.job import Job, JobError, JobState
from runner.domain.progress import Progress
from runner.errors import CapacityError, CorralError, InvalidRequest, JobNotFound, SourceError
from runner.hub.throttle import Throttle
from runner.service.kept_jobs import KeptJobs
from runner.service.news import News
from runner.service.run import (
    End,
    Followed,
    LiveJob,
    Run,
    TakeUp,
    Work,
    broken_off,
    doing,
    end_of,
    in_order,
    refuse_another,
    refuse_made,
    taken_up,
    task_name,
    unfinished,
    work_off,
)
from runner.store.state import N_REMEMBERED, JobTable

logger = logging.getLogger(__name__)

#: Lasting jobs at work at the same time; further ones wait for their turn.
N_AT_ONCE = 3

#: Threads for their work, none of asyncio's own few: a cancelled job's may wait for a hub for long.
_N_THREADS = 48
#: Seconds that the daemon, when it ends, waits for work that does not stop.
_PATIENCE_S = 3.0


class JobService:
    """All jobs of the daemon.

    Args:
        table: Where lasting jobs are kept; ``None``: nowhere, as in a test of one call.
        discard: Removes what arrived under a key; blocks.  Called for cancelled jobs.
        throttle: The limit on speed that all jobs share.
    """

    def __init__(
        self,
        table: JobTable | None = None,
        discard: Callable[[str], None] = lambda key: None,
        throttle: Throttle | None = None,
    ) -> None:
        self._throttle = throttle or Throttle()
        self._kept = KeptJobs(table)
        self._discard = discard
        self._lives: dict[int, LiveJob] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._adding = asyncio.Lock()  # no two calls make a job of one name while one is stored
        self.news = News()
        self._workers = ThreadPoolExecutor(_N_THREADS, thread_name_prefix="job")
        self._is_closing = False

    # Beginning and ending

    async def restore(self, make_work: TakeUp) -> None:
        """Take up the jobs of the last daemon: what was on its way goes on, or begins again."""
        for stored in await self._kept.load():
            if live := taken_up(stored, make_work):
                self._lives[live.job.job_id] = live
                if live.job != stored.job:
                    self._save(live)
        self._start_waiting()

    async def begin(
        self,
        kind: str,
        name: str,
        work: Work,
        *,
        is_attended: bool,
        is_lasting: bool = True,
        can_stand_still: bool = False,
        request: Any = None,
        limit_bps: int | None = None,
    ) -> Job:
        """Return the job that does ``work``: a new one, or the unfinished one of the same name.

        Args:
            kind: ``pull``, ``import``, ``quantize`` and so on.
            name: Of the model; letters' case is ignored.
            work: What to do, when there is no such job at work.
            is_attended: Whether it pauses, or ends if it is not lasting, when nobody follows it.
            is_lasting: Whether it goes on with what it has when the next daemon starts.
            can_stand_still: Whether its work heeds ``Run.held``.
            request: What it is asked to do, as JSON has it: with it a job begins again when the
                next daemon starts, and another request is not taken for the same.
            limit_bps: Its limit on speed; 0: none, ``None``: as it is.

        Raises:
            JobUnderWay: One of its name is on its way, of another kind or asked another thing.
        """
        how = {"is_attended": is_attended, "is_lasting": is_lasting}
        async with self._adding:
            live = unfinished(self._lives.values(), kind, name)
            if live is None or live.run is None:
                self._refuse_made(kind, name, live)
            live = live or await self._create(kind, name, request, **how)
        refuse_another(live, request)
        if not is_attended:
            live.job = replace(live.job, is_attended=False)
        if limit_bps is not None:
            self._limit(live, limit_bps)
        if live.run is not None and live.run.held.is_set():
            self._let_go_on(live, live.run)
        elif live.job.state not in (JobState.RUNNING, JobState.QUEUED):
            live.work, live.can_stand_still, live.request = work, can_stand_still, request
            self._queue(live, is_attended=is_attended)
        else:
            self._save(live)
        self._start_waiting()
        return live.job

    async def close(self) -> None:
        """Stop all work; whoever follows a job is told.  What is lasting goes on next time."""
        self._is_closing = True
        for live in self._lives.values():
            if live.run is not None:
                live.run.goes_on = live.is_kept
                live.run.stop.set()
                self._tell_end(live, broken_off(live))
        self.news.end()
        if self._tasks:
            _, waiting = await asyncio.wait(self._tasks, timeout=_PATIENCE_S)
            for task in waiting:  # for a hub's client, whose thread nobody can interrupt
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        self._workers.shutdown(wait=False, cancel_futures=True)
        await self._kept.close()

    # Looking

    def list_jobs(self) -> list[Job]:
        """Return all jobs: those on their way as they stand in the queue, then the latest."""
        return sorted((live.job for live in self._lives.values()), key=in_order)

    def get(self, job_id: int) -> Job:
        """Return one job.

        Raises:
            JobNotFound: There is none with this id.
        """
        return self._find(job_id).job

    def result_of(self, job_id: int) -> object:
        """Return what a job that is done has found; raises as ``get``."""
        return self._find(job_id).result

    def wanted_keys(self) -> set[str]:
        """Return the files that jobs need which may still go on."""
        gone = (JobState.DONE, JobState.CANCELLED)
        lives = [live for live in self._lives.values() if live.job.state not in gone]
        return {key for live in lives for key in (*live.keys, *(live.run.keys if live.run else ()))}

    async def follow(self, job_id: int) -> AsyncGenerator[Progress, None]:
        """Yield a job's last moment at once, then every change, up to its end.

        Raises:
            CorralError: What it ended with, when that was not success.
        """
        live = self._find(job_id)
        queue: Followed = asyncio.Queue()
        if live.last is not None:
            queue.put_nowait(live.last)
        elif live.job.state is JobState.QUEUED:
            queue.put_nowait(Progress("waiting for other downloads"))
        if live.job.state not in (JobState.RUNNING, JobState.QUEUED):
            queue.put_nowait(None)
        live.followers.append(queue)
        try:
            while (moment := await queue.get()) is not None:
                if isinstance(moment, Exception):
                    raise moment
                yield moment
        finally:
            live.followers.remove(queue)
            if not live.followers and live.job.is_attended and not self._is_closing:
                self._leave_alone(live)

    # Steering

    def pause(self, job_id: int) -> Job:
        """Pause a job that is on its way; what has arrived is kept.

        Raises:
            InvalidRequest: It is over.
        """
        live = self._find(job_id)
        if live.job.state.is_over:
            raise InvalidRequest(f"job {job_id} is {live.job.state}; only one on its way can pause")
        if live.can_stand_still and live.run is not None:
            live.run.held.set()
            self._change(live, state=JobState.PAUSED, rate_bps=0, eta_s=None)
            self._save(live)
        elif live.job.state is not JobState.PAUSED:
            if not live.is_lasting:
                hint = f"cancel it: corral jobs cancel {job_id}"
                raise InvalidRequest(f"a job of kind '{live.job.kind}' cannot pause", hint=hint)
            self._halt(live, JobState.PAUSED)
            hint = f"go on with: corral pull {live.job.name}"
            self._tell_end(live, CapacityError(f"{doing(live.job)} was paused", hint=hint))
        return live.job

    def resume(self, job_id: int) -> Job:
        """Let a job that paused, failed or was cancelled go on, alone.

        Raises:
            InvalidRequest: It is done.
        """
        live = self._find(job_id)
        if live.job.state is JobState.DONE or live.work is None:
            raise InvalidRequest(
                f"job {job_id} is {live.job.state}; there is nothing to go on with",
                hint="begin it again, as it was begun",
            )
        if live.run is not None and live.run.held.is_set():
            self._let_go_on(live, live.run)
        elif live.job.state not in (JobState.RUNNING, JobState.QUEUED):
            self._refuse_made(live.job.kind, live.job.name, live)
            self._queue(live, is_attended=False)
            self._start_waiting()
        return live.job

    async def cancel(self, job_id: int) -> Job:
        """End a job and remove what has arrived for it alone; one that is over is forgotten.

        Raises:
            JobNotFound: There is no such job.
        """
        live = self._find(job_id)
        if live.job.state in (JobState.DONE, JobState.CANCELLED):
            return live.job
        self._halt(live, JobState.CANCELLED)
        self._tell_end(live, CapacityError(f"{doing(live.job)} was cancelled"))
        if not any(task.get_name() == task_name(live) for task in self._tasks):
            await self._discard_keys(live)  # else the end of its work does
        return live.job

    def move(self, job_id: int, place: int) -> Job:
        """Move a job to a place among those on their way; 0 is the first.

        Raises:
            InvalidRequest: It is over.
        """
        live = self._find(job_id)
        if live.job.state.is_over:
            raise InvalidRequest(f"job {job_id} is {live.job.state}; it has no place in the queue")
        others = sorted(
            (one for one in self._lives.values() if not one.job.state.is_over and one is not live),
            key=lambda one: one.job.place,
        )
        others.insert(place, live)
        for number, one in enumerate(others):
            if one.job.place != number:
                self._change(one, place=number)
                self._save(one)
        return live.job

    def limit(self, job_id: int, limit_bps: int) -> Job:
        """Limit a job's speed, at once; 0: no limit of its own.

        Raises:
            JobNotFound: There is no such job.
        """
        live = self._find(job_id)
        self._limit(live, limit_bps)
        self._save(live)
        return live.job

    def limit_all(self, limit_bps: int) -> None:
        """Limit the speed of all jobs together, until the daemon ends; 0: no limit."""
        self._throttle.set_rate(limit_bps)

    # Inside

    def _refuse_made(self, kind: str, names: str, mine: LiveJob | None) -> None:
        refuse_made((one.job for one in self._lives.values() if one is not mine), kind, names)

    def _find(self, job_id: int) -> LiveJob:
        live = self._lives.get(job_id)
        if live is None:
            raise JobNotFound(f"there is no job {job_id}", hint="see them all with: corral jobs")
        return live

    async def _create(
        self, kind: str, name: str, request: Any, *, is_attended: bool, is_lasting: bool
    ) -> LiveJob:
        places = [one.job.place for one in self._lives.values() if not one.job.state.is_over]
        job = Job(
            job_id=0,
            kind=kind,
            name=name,
            state=JobState.PAUSED,  # until it is queued, a moment from now
            started=time.time(),
            place=max(places, default=-1) + 1,
            is_attended=is_attended,
        )
        live = LiveJob(await self._kept.add(job), None, is_lasting, request=request)
        self._lives[live.job.job_id] = live
        over = [job_id for job_id, one in self._lives.items() if one.job.state.is_over]
        for job_id in over[:-N_REMEMBERED]:
            del self._lives[job_id]
        return live

    def _queue(self, live: LiveJob, *, is_attended: bool) -> None:
        live.last = None
        anew = {"error": None, "finished": None, "phase": ""}
        self._change(live, state=JobState.QUEUED, is_attended=is_attended, **anew)
        self._save(live)

    def _start_waiting(self) -> None:
        """Start the jobs whose turn it is."""
        if self._is_closing:
            return
        waiting = [one for one in self._lives.values() if one.job.state is JobState.QUEUED]
        for live in sorted(waiting, key=lambda one: one.job.place):
            n_running = sum(
                one.is_lasting and one.job.state is JobState.RUNNING for one in self._lives.values()
            )
            if live.is_lasting and n_running >= N_AT_ONCE:
                continue
            assert live.work is not None, "what is queued has work"
            live.run = Run(live.throttle, keys=live.keys)
            self._change(live, state=JobState.RUNNING)
            self._save(live)
            task = asyncio.get_running_loop().create_task(
                self._do(live, live.run, live.work), name=task_name(live)
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _do(self, live: LiveJob, run: Run, work: Work) -> None:
        """Do a job's work in a thread and tell what comes of it."""
        loop = asyncio.get_running_loop()

        def tell(progress: Progress) -> None:
            if live.run is run and not run.stop.is_set():
                self._take(live, progress)

        def keys(found: tuple[str, ...]) -> None:
            live.keys = found
            self._save(live)

        run.on_keys = lambda found: loop.call_soon_threadsafe(keys, found)
        error: CorralError | None = None
        try:
            await loop.run_in_executor(
                self._workers,
                work_off,
                live.job.name,
                run,
                work,
                lambda now: loop.call_soon_threadsafe(tell, now),
            )
        except CorralError as caught:
            error = caught
        except Exception:
            logger.exception("job failed id=%d name=%s", live.job.job_id, live.job.name)
            error = SourceError(f"{doing(live.job)} failed", hint="see: corral daemon logs")
        if live.run is not run or run.stop.is_set():  # paused, cancelled, or taken up again
            if live.job.state is JobState.CANCELLED:
                await self._discard_keys(live)
            return
        live.result = run.result
        self._finish(live, error)
        self._start_waiting()

    def _take(self, live: LiveJob, progress: Progress) -> None:
        """Take a moment of a job that runs."""
        live.last = progress
        of = f"{progress.phase} {progress.digest}"
        rate = live.pace.record(time.monotonic(), of, progress.n_done) if progress.n_bytes else 0
        n_left = progress.n_bytes - progress.n_done
        self._change(
            live,
            phase=progress.phase,
            n_done=progress.n_done if progress.n_bytes else live.job.n_done,
            n_bytes=progress.n_bytes or live.job.n_bytes,
            rate_bps=rate,
            eta_s=round(n_left / rate, 1) if rate else None,
            source=progress.source or live.job.source,
        )
        for queue in live.followers:
            queue.put_nowait(progress)

    def _finish(self, live: LiveJob, error: CorralError | None) -> None:
        """End a job by itself: well, or with an error that pauses it or fails it."""
        live.run = None
        end: Exception | None = error
        if error is None and (live.last is None or live.last.phase != "success"):
            end = error = broken_off(live)
        state = end_of(live, error)
        told = JobError(error.code, error.message, error.hint) if error else None
        self._change(
            live,
            state=state,
            error=told,
            rate_bps=0,
            eta_s=None,
            finished=time.time() if state.is_over else None,
        )
        self._save(live)
        logger.info(
            "job ended id=%d kind=%s name=%s state=%s error=%s",
            *(live.job.job_id, live.job.kind, live.job.name, state, error.code if error else ""),
        )
        self._tell_end(live, end)

    def _halt(self, live: LiveJob, state: JobState) -> None:
        """Stop a job's work, if it has begun, and give it another state at once."""
        if live.run is not None:
            live.run.stop.set()
            live.run = None
        finished = time.time() if state.is_over else None
        self._change(live, state=state, rate_bps=0, eta_s=None, finished=finished)
        self._save(live)
        self._start_waiting()

    def _leave_alone(self, live: LiveJob) -> None:
        """Stop an attended job that nobody follows any more, unless all is done already."""
        if live.last is not None and live.last.phase == "success":
            return  # clients leave at this word, a moment before the job is over
        if live.job.state in (JobState.RUNNING, JobState.QUEUED):
            self._halt(live, JobState.PAUSED if live.is_lasting else JobState.CANCELLED)

    def _let_go_on(self, live: LiveJob, run: Run) -> None:
        run.held.clear()
        self._change(live, state=JobState.RUNNING)
        self._save(live)

    def _limit(self, live: LiveJob, limit_bps: int) -> None:
        live.throttle.set_rate(limit_bps)
        self._change(live, limit_bps=limit_bps)

    async def _discard_keys(self, live: LiveJob) -> None:
        """Remove what has arrived for a job, but for what others still want."""
        wanted = {
            key
            for one in self._lives.values()
            if one is not live and one.job.state is not JobState.CANCELLED
            for key in one.keys
        }
        for key in live.keys:
            if key not in wanted:
                await asyncio.to_thread(self._discard, key)

    def _tell_end(self, live: LiveJob, end: End) -> None:
        for queue in live.followers:
            queue.put_nowait(end)

    def _change(self, live: LiveJob, **fields: Any) -> None:
        """Change a job, and tell whoever watches."""
        live.job = replace(live.job, **fields)
        self.news.tell(live.job)

    def _save(self, live: LiveJob) -> None:
        """Store a job as it is now, for the next daemon."""
        if live.is_kept and not self._is_closing:
            self._kept.put(live.stored())

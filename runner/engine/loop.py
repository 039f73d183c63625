"""The step loop: messages in, decode steps, messages out.

Threads of a worker: the inbox thread reads the pipe, ``prepare.py`` turns requests into
sequences, and this loop, on the main thread, owns scheduler and backend.  When nothing runs, it
waits on its queue and costs nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence as Seq
from queue import Empty, SimpleQueue

from runner.domain.cache import Hit
from runner.domain.event import FinishReason
from runner.engine.answer import advance_all, on_the_way, outcome, started, tell
from runner.engine.backend import Backend, DecodeFailed, NoSlot, Vocabulary
from runner.engine.cache import Cache
from runner.engine.checkpoints import Checkpoints
from runner.engine.chunks import Chunk
from runner.engine.computing import computed
from runner.engine.deadlines import Deadline, Deadlines, too_late
from runner.engine.disk import DiskTier, Fetched
from runner.engine.draft_model import DraftModel
from runner.engine.embed import Job
from runner.engine.grid import Grid
from runner.engine.pace import Pace
from runner.engine.plan import Effect, Park, Plan, Share
from runner.engine.prepare import Preparer, failed
from runner.engine.report import inspected
from runner.engine.scheduler import Scheduler
from runner.engine.sequence import Sequence
from runner.engine.speculate import Speculation
from runner.engine.tiers import Saved
from runner.engine.uncomputed import no_room, not_computed
from runner.engine.underway import Fate, Underway
from runner.engine.vectors import VectorTurns, aborted
from runner.errors import CorralError
from runner.kv.packed import n_tokens, pack
from runner.protocol.messages import (
    FLUSH_S,
    Abort,
    AskCache,
    ClearCache,
    Delta,
    Detokenize,
    Embed,
    Embedded,
    Failed,
    Generate,
    Inspect,
    Message,
    Render,
    Rerank,
    Shutdown,
    Step,
    Tokenize,
    Tokenized,
    UseThreads,
)

logger = logging.getLogger(__name__)

#: Longest wait for news, in seconds: what is longer than a C ``time_t`` cannot be waited for.
_MAX_WAIT_S = 3600.0


#: What is asked about requests that are there.
Question = Abort | AskCache | ClearCache | Inspect | Deadline | UseThreads
#: What reaches the loop thread.
Item = Sequence | Job | Tokenized | Failed | Fetched | Shutdown | Question


class Loop:
    """Owns the running sequences.  ``receive`` is safe from any thread, ``run`` is the loop."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        backend: Backend,
        send: Callable[[Message], None],
        *,
        n_host_bytes: int = 0,
        disk: DiskTier | None = None,
        draft: DraftModel | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        self._backend = backend
        self._send = send
        self._scheduler = Scheduler(
            backend.n_batch, backend.n_cells, backend.n_seq_max, backend.n_cold_max
        )
        self._pace = Pace()
        self._speculation = Speculation(backend, self._scheduler, draft)
        can_mark = n_host_bytes and not backend.n_cold_max
        self._checkpoints = Checkpoints(backend, n_host_bytes) if can_mark else None
        self._grid: Grid | None = None  # made with the first deterministic request
        self._items: SimpleQueue[Item] = SimpleQueue()
        self._cache = Cache(
            backend, self._scheduler, self._items.put, n_host_bytes=n_host_bytes, disk=disk
        )
        self._fetching: dict[str, Sequence] = {}  # until the disk has been asked
        self._underway = Underway()
        self._deadlines = Deadlines()
        self._vectors = VectorTurns(backend, self._answer)
        self._preparer = Preparer(vocabulary, backend, self._items.put)
        self._n_steps = 0
        self._n_tokens = 0
        self._host_s = 0.0

    def receive(self, message: Message) -> None:
        """Take a message from the daemon; called by the inbox thread."""
        match message:
            case Generate() | Tokenize() | Detokenize() | Render() | Embed() | Rerank():
                # Known before its deadline is: that may pass at once.
                self._underway.add(message.request_id)
                asked = message if isinstance(message, Generate | Embed | Rerank) else None
                if asked and asked.terms.deadline_s is not None:
                    at_s = time.monotonic() + asked.terms.deadline_s
                    self._items.put(Deadline(asked.request_id, at_s))
                self._preparer.submit(message)
            case Abort() | Inspect() | AskCache() | ClearCache() | UseThreads() | Shutdown():
                self._items.put(message)
            case _:
                logger.error("unexpected message kind=%s", type(message).__name__)

    def run(self) -> None:
        """Serve until ``Shutdown``, or until a template holds a thread for ever."""
        try:
            self._serve()
        finally:
            self._preparer.close()
            self._cache.close(FLUSH_S)

    def _serve(self) -> None:
        while True:
            is_idle = self._scheduler.is_idle and (self._grid is None or self._grid.is_idle)
            is_idle = is_idle and self._vectors.is_idle
            if is_idle:
                self._scheduler.check()
                if self._preparer.is_stuck and not self._underway:
                    logger.error("a chat template cannot be stopped; this worker ends")
                    return
            item = self._next(waits=is_idle)
            while item is not None:
                if not self._take(item):
                    return
                item = self._next()
            if self._deadlines:
                for request_id in self._deadlines.due(time.monotonic()):
                    self._expire(request_id)
            self._step()
            if self._grid is not None:
                self._step_grid(self._grid)
            if not self._vectors.is_idle:
                streams = self._scheduler.running or (self._grid and not self._grid.is_idle)
                self._vectors.turn(self._pace.n_prompt if streams else None)

    def _next(self, *, waits: bool = False) -> Item | None:
        """Return the next item; ``None`` when there is none, or something else was due meanwhile.

        A pause is used to copy what ended.
        """
        if not waits and self._items.empty():
            return None
        try:
            return self._items.get(timeout=self._wait_s()) if waits else self._items.get_nowait()
        except Empty:
            if waits and self._cache.settle_in(time.monotonic()) == 0:
                self._cache.settle()
            return None

    def _wait_s(self) -> float | None:
        """Seconds until something is due by itself; ``None``: never."""
        now = time.monotonic()
        waits_s = [] if (settle_s := self._cache.settle_in(now)) is None else [settle_s]
        if self._deadlines:
            waits_s.append(self._deadlines.next_s - now)
        return min(max(0.0, min(waits_s)), _MAX_WAIT_S) if waits_s else None

    def _take(self, item: Item) -> bool:
        """Act on one item; return whether to go on."""
        match item:
            case Shutdown():
                return False
            case Sequence():
                self._start(item)
            case Job():
                self._start_job(item)
            case Tokenized() | Failed():
                if self._underway.arrive(item.request_id) is not Fate.OVER:
                    self._answer(item)
            case Fetched():
                if seq := self._fetching.pop(item.request_id, None):
                    self._cache.take(item, seq)
                    self._scheduler.add(seq)
            case _:
                self._act(item)
        return True

    def _act(self, item: Question) -> None:
        """Do, or answer, what is asked about requests that are there."""
        match item:
            case Abort():
                self._abort(item.request_id)
            case AskCache() | ClearCache():
                if isinstance(item, ClearCache):
                    self._clear(item)
                self._send(self._cache.state(item.request_id))
            case Inspect():
                jobs = self._vectors.jobs
                self._send(inspected(item.request_id, self._scheduler, jobs, self._grid))
            case Deadline():
                self._deadlines.add(item.request_id, item.at_s)
            case UseThreads():
                self._backend.use_threads(item.n)

    def _clear(self, asked: ClearCache) -> None:
        whose = asked.owner_id, asked.conversation_id
        self._apply(self._scheduler.forget(*whose))
        self._cache.clear(*whose, keeps=asked.keeps)
        for kept in (self._checkpoints, self._grid):
            if kept is not None:
                kept.clear(*whose)

    def _start(self, seq: Sequence) -> None:
        """Queue a sequence, unless it has ended meanwhile, was aborted or asks for no token."""
        fate = self._underway.arrive(seq.request_id)
        if fate is not Fate.GOES_ON:
            seq.sampler.close()
            if fate is Fate.ABORTED:
                self._end_now(seq, FinishReason.ABORTED)
        elif seq.n_limit <= seq.n_prompt and not seq.is_telling:
            self._send(started(seq, 0))
            seq.sampler.close()
            self._end_now(seq, FinishReason.LENGTH)
        elif seq.is_deterministic:
            self._grid = self._grid or Grid(self._backend.deterministic())
            self._grid.add(seq)
        elif self._cache.look_up(seq):
            self._fetching[seq.request_id] = seq
        else:
            self._scheduler.add(seq)

    def _start_job(self, job: Job) -> None:
        """Queue a request for vectors, unless it has ended meanwhile or was aborted."""
        fate = self._underway.arrive(job.request_id)
        if fate is Fate.GOES_ON:
            self._vectors.add(job)
        elif fate is Fate.ABORTED:
            self._answer(aborted(job.request_id))

    def _abort(self, request_id: str) -> None:
        seq = self._find(request_id)
        if seq is not None:
            self._remove(seq)
            self._end_now(seq, FinishReason.ABORTED)
        elif self._vectors.remove(request_id):
            self._answer(aborted(request_id))
        else:
            self._underway.abort(request_id)

    def _find(self, request_id: str) -> Sequence | None:
        seq = self._fetching.get(request_id) or self._scheduler.find(request_id)
        if seq is None and self._grid is not None:
            seq = self._grid.find(request_id)
        return seq

    def _expire(self, request_id: str) -> None:
        """A request's deadline has passed: it ends here, whatever it was doing."""
        seq = self._find(request_id)
        if seq is not None:
            self._remove(seq)
            n = seq.n_generated
            self._send(too_late(request_id, f"after {n} tokens" if n else "before the first token"))
        elif self._vectors.remove(request_id):
            self._send(too_late(request_id, "before all vectors were computed"))
        elif self._underway.end(request_id):
            self._send(too_late(request_id, "before it could begin"))

    def _step(self) -> None:
        """Compute one step and send what it brought."""
        began, native_s = time.perf_counter(), self._backend.native_s
        admission = self._scheduler.admit()
        self._apply(admission.effects)
        for seq in admission.admitted:
            self._begin(seq)
        plan = self._scheduler.step(self._pace.n_prompt)
        self._apply(plan.effects)
        if not plan.chunks:
            return
        plan = self._speculation.extend(plan)
        now = time.monotonic()
        for chunk in plan.chunks:
            if not chunk.seq.started_s:
                chunk.seq.started_s = now
        try:
            rows = computed(self._backend, plan)
        except (NoSlot, DecodeFailed, CorralError) as error:
            self._on_not_computed(plan, error)
            return
        self._scheduler.commit(plan)
        if self._checkpoints is not None:
            for chunk in plan.chunks:
                self._checkpoints.reach(chunk.seq)
        n_tokens = plan.n_tokens
        self._n_steps += 1
        self._n_tokens += n_tokens
        deltas = self._draw(self._backend, plan.chunks, rows)
        seconds = time.monotonic() - now
        if plan.has_prompt:
            self._pace.learn(n_tokens, seconds)
        else:
            self._speculation.learn(n_tokens, seconds)
        self._send_step(deltas)
        self._host_s += time.perf_counter() - began - (self._backend.native_s - native_s)

    def _step_grid(self, grid: Grid) -> None:
        """Compute one chunk of a deterministic sequence: in turn with a step of the others."""
        if (seq := grid.admit()) is not None:
            self._say_started(seq)
            seq.started_s = time.monotonic()
        chunk = grid.next_chunk()
        if chunk is None:
            return
        try:
            row = grid.compute(chunk)
        except (NoSlot, DecodeFailed) as error:
            grid.reset()
            self._fail(chunk.seq, not_computed(error))
            return
        self._n_steps += 1
        self._n_tokens += chunk.n
        self._send_step(self._draw(self._backend.deterministic(), [chunk], [row]))

    def _begin(self, seq: Sequence) -> None:
        """Bring what memory has of an admitted sequence beyond the cache, and say so."""
        if self._checkpoints is not None:
            n = self._checkpoints.restore(seq, self._scheduler.n_free)
            if n is not None:
                self._scheduler.replace_beginning(seq, n)
                seq.hit = Hit.MEMORY
            self._checkpoints.begin(seq)
        if seq.saved:
            self._take_back(seq)
        elif found := self._cache.find(seq):
            self._restore(seq, *found)
        self._say_started(seq)

    def _say_started(self, seq: Sequence) -> None:
        """Say once how much of a sequence's prompt need not be computed."""
        if seq.n_cached is None:
            seq.n_cached = seq.n_computed
            self._send(started(seq, seq.n_cached))

    def _take_back(self, seq: Sequence) -> None:
        """One that gave way comes back: with its own state, or with what others have of it."""
        saved = Saved(pack(seq.tokens[: seq.n_saved]), seq.saved, seq.owner_id)
        n, seq.saved, seq.n_saved = seq.n_saved, b"", 0
        if not seq.n_computed:
            self._restore(seq, saved, n)

    def _restore(self, seq: Sequence, saved: Saved, n: int) -> None:
        # It comes whole before it is cut; where there is no room for that, it is computed anew.
        n_whole = n_tokens(saved.tokens)
        self._apply(self._scheduler.make_free(n_whole))
        if n_whole > self._scheduler.n_free:
            return
        self._backend.free(seq.seq_id)
        if not self._backend.restore(seq.seq_id, saved.blob, n):
            self._cache.drop(saved)
            n = 0
        else:
            seq.hit = Hit.DISK if seq.is_from_disk else Hit.MEMORY
        self._scheduler.replace_beginning(seq, n)

    def _apply(self, effects: list[Effect]) -> None:
        """Do to the cache what the scheduler decided."""
        for effect in effects:
            if isinstance(effect, Share):
                self._backend.share(effect.source, effect.target, effect.n)
                continue
            if isinstance(effect, Park):
                self._cache.park(effect)
            else:
                self._cache.keep(effect)
            self._backend.free(effect.seq_id)

    def _draw(self, backend: Backend, chunks: Seq[Chunk], rows: list[int]) -> list[Delta]:
        """Draw a token for each sequence that is due; return what there is to say."""
        deltas: list[Delta] = []
        now = time.monotonic()
        for chunk, row in zip(chunks, rows, strict=True):
            seq = chunk.seq
            if seq.told:
                tell(chunk, row, self._vocabulary)
            if not chunk.draw:
                deltas += on_the_way(seq, now)
                continue
            try:
                news = advance_all(seq, row, self._vocabulary, backend)
            except CorralError as error:
                self._fail(seq, error)
                continue
            if seq.guess:
                self._speculation.settle(seq)
            if not seq.first_token_s:
                seq.first_token_s = now
            if news.reason is not None:
                deltas.append(news.delta(seq, now, outcome(seq, news.reason, now)))
                self._remove(seq)
                continue
            if news.text or news.prompt:
                deltas.append(news.delta(seq, now))
            if seq.is_full:
                self._shift(seq)
        return deltas

    def _shift(self, seq: Sequence) -> None:
        """Make room in a full context that may go on: what is left is computed as a new prompt."""
        seq.shift()
        if seq.is_deterministic:
            assert self._grid is not None
            self._grid.rewind(seq)
            return
        self._apply(self._scheduler.rewind(seq))
        if self._checkpoints is not None:
            self._checkpoints.begin(seq)

    def _remove(self, seq: Sequence) -> None:
        """Take a sequence out of the engine: its cells, its place."""
        self._deadlines.discard(seq.request_id)
        seq.saved, seq.n_saved = b"", 0
        seq.sampler.close()
        if self._fetching.pop(seq.request_id, None):
            return
        if seq.is_deterministic:
            assert self._grid is not None
            self._grid.remove(seq)
            return
        if self._checkpoints is not None:
            self._checkpoints.end(seq)
        self._speculation.end(seq)
        self._apply(self._scheduler.remove(seq))

    def _fail(self, seq: Sequence, error: CorralError) -> None:
        """End one request with an error; the others go on."""
        self._remove(seq)
        self._send(failed(seq.request_id, error))

    def _end_now(self, seq: Sequence, reason: FinishReason) -> None:
        """Send the end of a sequence outside a step."""
        self._deadlines.discard(seq.request_id)
        ended = outcome(seq, reason, time.monotonic())
        self._send_step([Delta(seq.request_id, "", ended)])

    def _answer(self, message: Embedded | Tokenized | Failed) -> None:
        """Send the end of a request that is no sequence."""
        self._deadlines.discard(message.request_id)
        self._send(message)

    def _send_step(self, deltas: list[Delta]) -> None:
        if deltas:
            n_host_us = int(self._host_s * 1e6)
            self._send(Step(tuple(deltas), self._n_steps, self._n_tokens, n_host_us))

    def _on_not_computed(self, plan: Plan, error: NoSlot | DecodeFailed | CorralError) -> None:
        """A step brought nothing; a ``CorralError`` is about the picture that it was to be."""
        if isinstance(error, NoSlot):
            self._on_no_slot(plan)
        elif isinstance(error, DecodeFailed):
            self._on_decode_failed(plan, error)
        else:
            self._fail(plan.chunks[0].seq, error)

    def _on_no_slot(self, plan: Plan) -> None:
        """llama.cpp disagrees about the free cells: give some back, or fail the last one."""
        if self._speculation.pause(plan):
            return
        effects = self._scheduler.back_off()
        if effects:
            self._apply(effects)
            return
        seq = plan.chunks[0].seq
        self._fail(seq, no_room(len(seq.tokens)))

    def _on_decode_failed(self, plan: Plan, error: DecodeFailed) -> None:
        """Fail the requests of the step; the others are computed anew in a clean cache."""
        logger.error("step failed error=%r n_requests=%d", str(error), len(plan.chunks))
        self._backend.clear()
        self._scheduler.restart()
        for seq in {chunk.seq for chunk in plan.chunks}:
            self._fail(seq, not_computed(error))

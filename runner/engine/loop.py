"""The step loop: messages in, decode steps, messages out.

Threads of a worker: the inbox thread reads the pipe, ``prepare.py`` turns requests into
sequences, and this loop, on the main thread, owns scheduler and backend.  When nothing runs, it
waits on its queue and costs nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from runner.domain.event import FinishReason
from runner.engine.backend import Backend, DecodeFailed, NoSlot, Vocabulary
from runner.engine.embed import Job
from runner.engine.pace import Pace
from runner.engine.prepare import Preparer
from runner.engine.scheduler import WORTH_SAVING, Effect, Free, Plan, Scheduler, Share
from runner.engine.sequence import Sequence
from runner.engine.tiers import HostTier, Saved
from runner.engine.vectors import VectorTurns, aborted
from runner.protocol.messages import (
    Abort,
    Delta,
    Embed,
    Failed,
    Generate,
    Message,
    Outcome,
    Rerank,
    Shutdown,
    Started,
    Step,
    Tokenize,
    Tokenized,
)

logger = logging.getLogger(__name__)

#: What reaches the loop thread.
Item = Sequence | Job | Tokenized | Failed | Abort | Shutdown


class Loop:
    """Owns the running sequences.  ``receive`` is safe from any thread, ``run`` is the loop."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        backend: Backend,
        send: Callable[[Message], None],
        *,
        n_host_bytes: int = 0,
    ) -> None:
        self._vocabulary = vocabulary
        self._backend = backend
        self._send = send
        self._scheduler = Scheduler(
            backend.n_batch, backend.n_cells, backend.n_seq_max, backend.n_cold_max
        )
        self._pace = Pace()
        self._tier = HostTier(n_host_bytes) if backend.n_cold_max and n_host_bytes else None
        self._items: SimpleQueue[Item] = SimpleQueue()
        self._preparing: set[str] = set()
        self._aborted: set[str] = set()  # while still being prepared
        self._vectors = VectorTurns(backend, send)
        self._preparer = Preparer(vocabulary, backend, self._items.put)
        self._n_steps = 0
        self._n_tokens = 0

    def receive(self, message: Message) -> None:
        """Take a message from the daemon; called by the inbox thread."""
        match message:
            case Generate() | Tokenize() | Embed() | Rerank():
                self._preparing.add(message.request_id)
                self._preparer.submit(message)
            case Abort() | Shutdown():
                self._items.put(message)
            case _:
                logger.error("unexpected message kind=%s", type(message).__name__)

    def run(self) -> None:
        """Serve until ``Shutdown``, or until a template holds a thread for ever."""
        try:
            self._serve()
        finally:
            self._preparer.close()

    def _serve(self) -> None:
        while True:
            if self._scheduler.is_idle and self._vectors.is_idle:
                self._scheduler.check()
                if self._preparer.is_stuck and not self._preparing:
                    logger.error("a chat template cannot be stopped; this worker ends")
                    return
                if not self._take(self._items.get()):
                    return
            while True:
                try:
                    item = self._items.get_nowait()
                except Empty:
                    break
                if not self._take(item):
                    return
            self._step()
            self._vectors.turn(self._pace.n_prompt if self._scheduler.running else None)

    def _take(self, item: Item) -> bool:
        """Act on one item; return whether to go on."""
        match item:
            case Shutdown():
                return False
            case Abort():
                self._abort(item.request_id)
            case Sequence():
                self._preparing.discard(item.request_id)
                self._start(item)
            case Job():
                self._preparing.discard(item.request_id)
                self._start_job(item)
            case Tokenized() | Failed():
                self._preparing.discard(item.request_id)
                self._aborted.discard(item.request_id)
                self._send(item)
        return True

    def _start(self, seq: Sequence) -> None:
        """Queue a sequence, unless it was aborted meanwhile or asks for no token."""
        if seq.request_id in self._aborted:
            self._aborted.discard(seq.request_id)
            seq.sampler.close()
            self._end_now(seq, FinishReason.ABORTED)
            return
        if seq.n_limit <= seq.n_prompt:
            self._send(Started(seq.request_id, seq.n_prompt, 0))
            seq.sampler.close()
            self._end_now(seq, FinishReason.LENGTH)
        else:
            self._scheduler.add(seq)

    def _start_job(self, job: Job) -> None:
        """Queue a request for vectors, unless it was aborted meanwhile."""
        if job.request_id in self._aborted:
            self._aborted.discard(job.request_id)
            self._send(aborted(job.request_id))
        else:
            self._vectors.add(job)

    def _abort(self, request_id: str) -> None:
        seq = self._scheduler.find(request_id)
        if seq is not None:
            self._remove(seq)
            self._end_now(seq, FinishReason.ABORTED)
        elif not self._vectors.abort(request_id) and request_id in self._preparing:
            self._aborted.add(request_id)

    def _step(self) -> None:
        """Compute one step and send what it brought."""
        admission = self._scheduler.admit()
        self._apply(admission.effects)
        for seq in admission.admitted:
            self._begin(seq)
        plan = self._scheduler.step(self._pace.n_prompt)
        self._apply(plan.effects)
        if not plan.chunks:
            return
        now = time.monotonic()
        for chunk in plan.chunks:
            if not chunk.seq.started_s:
                chunk.seq.started_s = now
        try:
            rows = self._backend.decode(plan.chunks)
        except NoSlot:
            self._on_no_slot(plan)
            return
        except DecodeFailed as error:
            self._on_decode_failed(plan, error)
            return
        self._scheduler.commit(plan)
        n_tokens = sum(chunk.n for chunk in plan.chunks)
        self._n_steps += 1
        self._n_tokens += n_tokens
        deltas = self._draw(plan, rows)
        if n_tokens > len(plan.chunks):  # a prompt is in it
            self._pace.learn(n_tokens, time.monotonic() - now)
        self._send_step(deltas)

    def _begin(self, seq: Sequence) -> None:
        """Look whether host memory has more of an admitted sequence than the cache, and say so."""
        if self._tier is not None and seq.may_share and not seq.adapters:
            found = self._tier.match(seq.tokens[:-1])
            if found and found[1] >= seq.n_computed + WORTH_SAVING:
                self._tier.touch(found[0])
                self._restore(seq, *found)
        if seq.n_cached is None:
            seq.n_cached = seq.n_computed
            self._send(Started(seq.request_id, seq.n_prompt, seq.n_cached))

    def _restore(self, seq: Sequence, saved: Saved, n: int) -> None:
        # It comes whole before it is cut; where there is no room for that, it is computed anew.
        self._apply(self._scheduler.make_free(len(saved.tokens)))
        if len(saved.tokens) > self._scheduler.n_free:
            return
        self._backend.free(seq.seq_id)
        if not self._backend.restore(seq.seq_id, saved.blob, n):
            n = 0
        self._scheduler.replace_beginning(seq, n)

    def _apply(self, effects: list[Effect]) -> None:
        """Do to the cache what the scheduler decided."""
        for effect in effects:
            if isinstance(effect, Share):
                self._backend.share(effect.source, effect.target, effect.n)
                continue
            self._keep(effect)
            self._backend.free(effect.seq_id)

    def _keep(self, effect: Free) -> None:
        """Copy to host memory what is about to be freed, where it is worth that."""
        if self._tier is None or not effect.tokens or self._tier.has(effect.tokens):
            return
        if blob := self._backend.save(effect.seq_id):
            self._tier.add(Saved(effect.tokens, blob))

    def _draw(self, plan: Plan, rows: list[int]) -> list[Delta]:
        """Draw a token for each sequence that is due; return what there is to say."""
        deltas: list[Delta] = []
        vocabulary = self._vocabulary
        now = time.monotonic()
        for chunk, row in zip(plan.chunks, rows, strict=True):
            if not chunk.draw:
                continue
            seq = chunk.seq
            token = seq.sampler.draw(row)
            if not seq.first_token_s:
                seq.first_token_s = now
            text, reason = seq.take(token, vocabulary.piece(token), is_eog=vocabulary.is_eog(token))
            if reason is not None:
                self._remove(seq)
                deltas.append(Delta(seq.request_id, text, _outcome(seq, reason, now)))
            elif text:
                deltas.append(Delta(seq.request_id, text))
        return deltas

    def _remove(self, seq: Sequence) -> None:
        """Take a sequence out of the engine: its cells, its place."""
        self._apply(self._scheduler.remove(seq))
        seq.sampler.close()

    def _end_now(self, seq: Sequence, reason: FinishReason) -> None:
        """Send the end of a sequence outside a step."""
        outcome = _outcome(seq, reason, time.monotonic())
        self._send_step([Delta(seq.request_id, "", outcome)])

    def _send_step(self, deltas: list[Delta]) -> None:
        if deltas:
            self._send(Step(tuple(deltas), self._n_steps, self._n_tokens))

    def _on_no_slot(self, plan: Plan) -> None:
        """llama.cpp disagrees about the free cells: give some back, or fail the last one."""
        effects = self._scheduler.back_off()
        if effects:
            self._apply(effects)
            return
        seq = plan.chunks[0].seq
        self._remove(seq)
        self._send(
            Failed(
                seq.request_id,
                "worker_failed",
                f"no room in the cache for {len(seq.tokens)} tokens",
                "shorten the prompt, or load the model with a larger num_ctx",
            )
        )

    def _on_decode_failed(self, plan: Plan, error: DecodeFailed) -> None:
        """Fail the requests of the step; the others are computed anew in a clean cache."""
        logger.error("step failed error=%r n_requests=%d", str(error), len(plan.chunks))
        self._backend.clear()
        self._scheduler.restart()
        for seq in {chunk.seq for chunk in plan.chunks}:
            self._remove(seq)
            self._send(
                Failed(
                    seq.request_id,
                    "worker_failed",
                    f"the engine could not compute this step ({error})",
                    "try again; if it happens again, restart the daemon",
                )
            )


def _outcome(seq: Sequence, reason: FinishReason, now: float) -> Outcome:
    started = seq.started_s or now
    first = seq.first_token_s or now
    return Outcome(
        reason,
        seq.n_generated,
        prompt_s=first - started,
        decode_s=now - first,
        stop=seq.stop.hit,
        tokens=tuple(seq.tokens) if seq.wants_tokens else (),
    )

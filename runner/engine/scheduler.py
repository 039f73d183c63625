"""Which tokens the next decode step computes: continuous batching, as bookkeeping only.

A sequence waits, is admitted to a llama.cpp ``seq_id``, runs and ends.  Every running stream gets
its token in each step; prompts are computed in chunks in what is left of the step, so a long
prompt does not stall text that is already streaming.

Admission asks for room for the prompt and a margin, not for the whole context.  When the cells
run out all the same, the youngest sequence gives its cells back and waits in front of the queue;
its tokens are kept and computed again later, so its client sees a pause and nothing else.

No ctypes, no clock, no threads: ``loop.py`` owns one scheduler and calls it from one thread.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from runner.engine.sequence import Sequence

#: Cells a sequence should find free beyond its prompt when it is admitted, in tokens.
MARGIN = 64


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive tokens of one sequence in one step.

    Attributes:
        seq: Whose tokens.
        start: Index of the first in ``seq.tokens``, which is also its position.
        n: How many.
        draw: Whether they are its last ones, so that a token is drawn after them.
    """

    seq: Sequence
    start: int
    n: int
    draw: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: what to compute, and the sequences whose cells are to be freed before.

    ``dropped`` holds ``seq_id``s; a dropped id may be in use again by a chunk of the same plan.
    """

    chunks: list[Chunk]
    dropped: list[int]


@dataclass(slots=True)
class Scheduler:
    """Decode first, then prompts, oldest first, within ``n_batch`` tokens a step.

    Attributes:
        n_batch: Tokens in one step; at least ``n_seq_max``, so that every stream has its token.
        n_cells: Cache cells over all sequences; at least the longest sequence's ``n_limit``.
        n_seq_max: Sequences running at once.
    """

    n_batch: int
    n_cells: int
    n_seq_max: int
    _waiting: deque[Sequence] = field(default_factory=deque)
    _running: list[Sequence] = field(default_factory=list)
    _free_ids: list[int] = field(init=False)
    _is_backing_off: bool = False

    def __post_init__(self) -> None:
        assert self.n_batch >= self.n_seq_max
        self._free_ids = list(range(self.n_seq_max))

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._running and not self._waiting

    @property
    def running(self) -> tuple[Sequence, ...]:
        """The admitted sequences, oldest first."""
        return tuple(self._running)

    def add(self, seq: Sequence) -> None:
        """Queue a sequence."""
        self._waiting.append(seq)

    def find(self, request_id: str) -> Sequence | None:
        """Return the sequence of a request that has not ended."""
        for seq in (*self._running, *self._waiting):
            if seq.request_id == request_id:
                return seq
        return None

    def remove(self, seq: Sequence) -> int:
        """Forget an ended sequence; return the ``seq_id`` whose cells are to be freed, or -1."""
        if seq.seq_id < 0:
            self._waiting.remove(seq)
            return -1
        self._running.remove(seq)
        self._is_backing_off = False
        return self._release(seq)

    def step(self) -> Plan:
        """Return the next step; its chunks are empty when there is nothing to do.

        Together the chunks have at most ``n_batch`` tokens and fit into the free cells.
        """
        dropped = self._make_room()
        self._admit()
        n_free = self.n_cells - sum(seq.n_computed for seq in self._running)
        n_left = min(self.n_batch, n_free)
        chunks: list[Chunk] = []
        decoding = [seq for seq in self._running if seq.n_pending == 1]
        prefilling = [seq for seq in self._running if seq.n_pending > 1]
        for seq in (*decoding, *prefilling):
            n = min(seq.n_pending, n_left)
            if n > 0:
                chunks.append(Chunk(seq, seq.n_computed, n, draw=n == seq.n_pending))
                n_left -= n
        return Plan(chunks, dropped)

    def commit(self, plan: Plan) -> None:
        """Record that ``plan`` was computed; drawn tokens are the caller's to append."""
        for chunk in plan.chunks:
            chunk.seq.n_computed += chunk.n

    def preempt(self) -> int | None:
        """Take the youngest running sequence's cells; return its ``seq_id``.

        ``None`` when fewer than two run: the last one must be able to go on.
        """
        if len(self._running) < 2:
            return None
        seq = self._running.pop()
        self._waiting.appendleft(seq)
        return self._release(seq)

    def back_off(self) -> int | None:
        """The cache refused a step: ``preempt``, and admit nobody until a sequence has ended.

        Without the pause the one preempted would be admitted again, and refused again, for ever.
        """
        seq_id = self.preempt()
        self._is_backing_off = seq_id is not None
        return seq_id

    def restart(self) -> None:
        """The cache was lost: every running sequence is to be computed again."""
        self._is_backing_off = False
        for seq in self._running:
            seq.n_computed = 0

    def check(self) -> None:
        """Assert the bookkeeping's invariants; cheap enough for every idle moment."""
        ids = [seq.seq_id for seq in self._running]
        assert sorted(ids + self._free_ids) == list(range(self.n_seq_max)), "seq_ids leaked"
        assert all(seq.seq_id == -1 and not seq.n_computed for seq in self._waiting)
        assert sum(seq.n_computed for seq in self._running) <= self.n_cells

    def _make_room(self) -> list[int]:
        """Preempt until every decoding sequence can have its next cell."""
        dropped: list[int] = []
        while True:
            n_used = sum(seq.n_computed for seq in self._running)
            n_decoding = sum(seq.n_pending == 1 for seq in self._running)
            if n_used + n_decoding <= self.n_cells:
                return dropped
            seq_id = self.preempt()
            if seq_id is None:
                return dropped
            dropped.append(seq_id)

    def _admit(self) -> None:
        if self._is_backing_off:
            return
        reserved = sum(len(seq.tokens) for seq in self._running)
        while self._waiting and self._free_ids:
            seq = self._waiting[0]
            wanted = min(len(seq.tokens) + MARGIN, seq.n_limit)
            if self._running and reserved + wanted > self.n_cells:
                return  # first come, first served: a later, smaller one does not overtake
            self._waiting.popleft()
            seq.seq_id = self._free_ids.pop()
            reserved += wanted
            self._running.append(seq)

    def _release(self, seq: Sequence) -> int:
        seq_id, seq.seq_id, seq.n_computed = seq.seq_id, -1, 0
        self._free_ids.append(seq_id)
        return seq_id

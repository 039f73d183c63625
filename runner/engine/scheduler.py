"""Which tokens the next decode step computes: continuous batching, as bookkeeping only.

A sequence waits, is admitted to a llama.cpp ``seq_id``, runs and ends.  Every running stream gets
its token in each step; prompts are computed in chunks in what is left of the step, no more of them
than ``pace.py`` allows, so a long prompt does not stall text that is already streaming.

A sequence begins with what the cache has of it already: the cells of another one that begins like
it, running or ended.  One whose beginning is just being computed waits for it, so that it is
computed once.  What ended last stays in the cache as a cold prefix until another sequence runs;
then it leaves, but for the cells that others hold: cells in use slow every step of everyone
(``n_kv`` of a step is the highest cell used).

Admission asks for room for the prompt and a margin, not for the whole context.  When the cells
run out all the same, cold prefixes go first, then the youngest sequence gives its cells back and
waits in front of the queue; its tokens are kept and computed again later, so its client sees a
pause and nothing else.

No ctypes, no clock, no threads: ``loop.py`` owns one scheduler and calls it from one thread.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from runner.engine.prefix import PrefixTree, n_common
from runner.engine.sequence import Adapters, Sequence

#: Cells a sequence should find free beyond its prompt when it is admitted, in tokens.
MARGIN = 64
#: Tokens in common that are worth sharing or waiting for: a chat template's opening is.
WORTH_SHARING = 16
#: Tokens that are worth a copy to host memory and back.
WORTH_SAVING = 64


#: Tokens after which a stream is not to be kept waiting.  Before, nobody reads it yet, and requests
#: that come together are computed together: whole batches are faster.
ESTABLISHED = 4


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
class Free:
    """Free all cells of ``seq_id``; when ``tokens`` is not empty they are worth saving first."""

    seq_id: int
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Share:
    """Let ``target`` see the first ``n`` cells of ``source``."""

    source: int
    target: int
    n: int


#: What is to be done to the cache.
Effect = Free | Share


@dataclass(frozen=True, slots=True)
class Admission:
    """The sequences that begin, or begin again, and what to do to the cache for it, in order."""

    effects: list[Effect]
    admitted: list[Sequence]


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: what to do to the cache, in order, then what to compute."""

    effects: list[Effect]
    chunks: list[Chunk]


@dataclass(slots=True)
class Scheduler:
    """Decode first, then prompts, oldest first, within ``n_batch`` tokens a step.

    Attributes:
        n_batch: Tokens in one step; at least ``n_seq_max``, so that every stream has its token.
        n_cells: Cache cells over all sequences; at least the longest sequence's ``n_limit``.
        n_seq_max: Sequences running at once.
        n_cold_max: Ended sequences kept in the cache; 0: the cache cannot share.
    """

    n_batch: int
    n_cells: int
    n_seq_max: int
    n_cold_max: int = 0
    _waiting: deque[Sequence] = field(default_factory=deque)
    _running: list[Sequence] = field(default_factory=list)
    _cold: list[int] = field(default_factory=list)  # seq_ids, oldest first
    _free_ids: list[int] = field(init=False)
    _tree: PrefixTree = field(default_factory=PrefixTree)
    _is_backing_off: bool = False
    _turns: list[Adapters] = field(default_factory=list)  # whose step comes first, comes first

    def __post_init__(self) -> None:
        assert self.n_batch >= self.n_seq_max
        self._free_ids = list(range(self.n_seq_max + self.n_cold_max))

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._running and not self._waiting

    @property
    def n_free(self) -> int:
        """Cells that nothing is in."""
        return self.n_cells - self._tree.n_cells

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

    def remove(self, seq: Sequence) -> list[Effect]:
        """Forget an ended sequence; what it has computed stays as a cold prefix if nothing runs."""
        if seq.seq_id < 0:
            self._waiting.remove(seq)
            return []
        self._running.remove(seq)
        self._is_backing_off = False
        effects: list[Effect] = []
        if not self.n_cold_max or not seq.n_computed:
            self._release(seq, effects)
            return effects
        while len(self._cold) >= self.n_cold_max:
            self._evict(effects)
        self._cold.append(seq.seq_id)
        seq.seq_id, seq.n_computed = -1, 0
        while self._running and self._cold:
            self._evict(effects)
        return effects

    def admit(self) -> Admission:
        """Let waiting sequences in, in order; one that waits for a beginning lets others pass."""
        effects: list[Effect] = []
        self._make_room(effects)
        admitted: list[Sequence] = []
        for seq in () if self._is_backing_off else tuple(self._waiting):
            if len(self._running) >= self.n_seq_max:
                break
            if self._is_being_computed(seq):
                continue
            if not self._enter(seq, effects):
                break  # first come, first served: a later, smaller one does not overtake
            self._waiting.remove(seq)
            self._running.append(seq)
            admitted.append(seq)
        while admitted and self._cold:
            self._evict(effects)
        return Admission(effects, admitted)

    def step(self, n_prompt_max: int | None = None) -> Plan:
        """Return the next step; its chunks are empty when nothing is running.

        Together the chunks have at most ``n_batch`` tokens and fit into the free cells.

        Args:
            n_prompt_max: Most prompt tokens, at least 1, when an established stream waits.
        """
        effects: list[Effect] = []
        self._make_room(effects)
        due = self._due()
        decoding = [seq for seq in due if seq.n_pending == 1]
        prefilling = [seq for seq in due if seq.n_pending > 1]
        n_wanted = min(self.n_batch, sum(seq.n_pending for seq in due))
        effects += self.make_free(n_wanted)
        n_left = min(self.n_batch, self.n_free)
        chunks = _cut(decoding, n_left)
        n_left -= len(chunks)
        if n_prompt_max is not None and any(c.seq.n_generated >= ESTABLISHED for c in chunks):
            n_left = min(n_left, n_prompt_max)
        return Plan(effects, chunks + _cut(prefilling, n_left))

    def _due(self) -> list[Sequence]:
        """The running sequences of the next step: those with one set of adapters, in turns.

        A step is computed with one set, so each set waits for at most one step of every other.
        """
        sets = dict.fromkeys(seq.adapters for seq in self._running)
        if len(sets) <= 1:
            self._turns = list(sets)
            return list(self._running)
        turns = [adapters for adapters in self._turns if adapters in sets]
        turns += [adapters for adapters in sets if adapters not in turns]
        self._turns = [*turns[1:], turns[0]]
        return [seq for seq in self._running if seq.adapters == turns[0]]

    def commit(self, plan: Plan) -> None:
        """Record that ``plan`` was computed; drawn tokens are the caller's to append."""
        for chunk in plan.chunks:
            seq = chunk.seq
            computed = seq.tokens[chunk.start : chunk.start + chunk.n]
            self._tree.extend(seq.seq_id, computed, seq.adapters)
            seq.n_computed += chunk.n

    def make_free(self, n: int) -> list[Effect]:
        """Evict cold prefixes until ``n`` cells are free, or none is left."""
        effects: list[Effect] = []
        while self._cold and self.n_free < n:
            self._evict(effects)
        return effects

    def replace_beginning(self, seq: Sequence, n: int) -> None:
        """Record that an admitted sequence got its first ``n`` tokens from outside the cache.

        What it shared until now it does not share any more.
        """
        self._tree.drop(seq.seq_id)
        if n:
            self._tree.extend(seq.seq_id, seq.tokens[:n], seq.adapters)
        seq.n_computed = n

    def preempt(self, effects: list[Effect]) -> bool:
        """Take the youngest running sequence's cells; return whether there was one to take.

        There is not when fewer than two run: the last one must be able to go on.
        """
        if len(self._running) < 2:
            return False
        seq = self._running.pop()
        self._waiting.appendleft(seq)
        self._release(seq, effects)
        return True

    def back_off(self) -> list[Effect]:
        """The cache refused a step: give something back; nothing when there is nothing to give.

        While a sequence is out for this reason nobody is admitted until one has ended: else the
        one preempted would be admitted again, and refused again, for ever.
        """
        effects: list[Effect] = []
        while self._cold:
            self._evict(effects)
        if not effects:
            self._is_backing_off = self.preempt(effects)
        return effects

    def restart(self) -> None:
        """The cache was lost: every running sequence is to be computed again."""
        self._is_backing_off = False
        self._tree.clear()
        self._free_ids += self._cold
        self._cold.clear()
        for seq in self._running:
            seq.n_computed = 0

    def check(self) -> None:
        """Assert the bookkeeping's invariants; cheap enough for every idle moment."""
        ids = [seq.seq_id for seq in self._running] + self._cold + self._free_ids
        assert sorted(ids) == list(range(self.n_seq_max + self.n_cold_max)), "seq_ids leaked"
        assert all(seq.seq_id == -1 and not seq.n_computed for seq in self._waiting)
        assert self._tree.n_cells <= self.n_cells
        for seq in self._running:
            assert self._tree.tokens(seq.seq_id) == seq.tokens[: seq.n_computed]

    def _make_room(self, effects: list[Effect]) -> None:
        """Free cells until every decoding sequence can have its next one."""
        while True:
            n_decoding = sum(seq.n_pending == 1 for seq in self._running)
            if self._tree.n_cells + n_decoding <= self.n_cells:
                return
            if self._cold:
                self._evict(effects)
            elif not self.preempt(effects):
                return

    def _is_being_computed(self, seq: Sequence) -> bool:
        """Whether a running sequence will soon have more of this one's beginning than is there."""
        if not self._may_share(seq):
            return False
        match = self._tree.match(seq.tokens, seq.adapters)
        n_there = match.n if match else 0
        return any(
            n_common(other.tokens, seq.tokens) >= max(n_there, other.n_computed) + WORTH_SHARING
            for other in self._running
            if other.n_pending > 1 and other.adapters == seq.adapters
        )

    def _may_share(self, seq: Sequence) -> bool:
        return self.n_cold_max > 0 and seq.may_share

    def _enter(self, seq: Sequence, effects: list[Effect]) -> bool:
        """Give a waiting sequence a ``seq_id`` and what the cache has of it, if it fits."""
        if not self._free_ids:
            self._evict(effects)
        seq_id = self._free_ids.pop()
        # The last token is computed in any case: without it there would be nothing to draw from.
        n_most = len(seq.tokens) - 1 if self._may_share(seq) else 0
        match = self._tree.fork(
            seq_id, seq.tokens, n_most, n_least=WORTH_SHARING, kind=seq.adapters
        )
        n_shared = match.n if match else 0
        ids = {other.seq_id for other in self._running} | {seq_id}
        n_pending = sum(other.n_pending for other in self._running)
        n_wanted = min(len(seq.tokens) + MARGIN, seq.n_limit) - n_shared
        if self._running and self._tree.n_held(ids) + n_pending + n_wanted > self.n_cells:
            self._tree.drop(seq_id)
            self._free_ids.append(seq_id)
            return False
        seq.seq_id, seq.n_computed = seq_id, n_shared
        if match:
            effects.append(Share(match.seq_id, seq_id, n_shared))
        return True

    def _evict(self, effects: list[Effect]) -> None:
        """Free the oldest cold prefix; it is worth saving if much of it would be lost."""
        seq_id = self._cold.pop(0)
        tokens = tuple(self._tree.tokens(seq_id))
        is_worth = self._tree.n_own(seq_id) >= max(WORTH_SAVING, len(tokens) // 4)
        is_worth = is_worth and not self._tree.kind(seq_id)  # host memory knows no adapters
        self._tree.drop(seq_id)
        self._free_ids.append(seq_id)
        effects.append(Free(seq_id, tokens if is_worth else ()))

    def _release(self, seq: Sequence, effects: list[Effect]) -> None:
        self._tree.drop(seq.seq_id)
        self._free_ids.append(seq.seq_id)
        effects.append(Free(seq.seq_id))
        seq.seq_id, seq.n_computed = -1, 0


def _cut(seqs: list[Sequence], n_left: int) -> list[Chunk]:
    """Return the next tokens of ``seqs``, in order, as far as ``n_left`` tokens go."""
    chunks: list[Chunk] = []
    for seq in seqs:
        n = min(seq.n_pending, n_left)
        if n > 0:
            chunks.append(Chunk(seq, seq.n_computed, n, draw=n == seq.n_pending))
            n_left -= n
    return chunks

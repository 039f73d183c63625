"""Which tokens the next decode step computes: continuous batching, as bookkeeping only.

A sequence waits, is admitted to a llama.cpp ``seq_id``, runs and ends.  Every running stream gets
its token in each step; prompts are computed in chunks in what is left of the step, no more of them
than ``pace.py`` allows, so a long prompt does not stall text that is already streaming.

A sequence begins with what the cache has of it already: the cells of another one that begins like
it, running or ended.  One whose beginning is just being computed waits for it, so that it is
computed once.  What ended last stays in the cache as a cold prefix until another sequence runs;
then it leaves, but for the cells that others hold: cells in use slow every step of everyone
(``n_kv`` of a step is the highest cell used).

Admission asks for room for the prompt and a margin, not for the whole context.  Who is next says
``queue.py``.  One that does not fit lets later ones pass, but only so many times.  When there is no
room for one of a higher class, the youngest sequences of the lowest class give way to it.  When the
cells run out under those that run, cold prefixes go first, then again the youngest of the lowest
class.  Who gives way waits before the others of its class; its state is saved outside the cache
where there is memory for it, else it is computed again, so its client sees a pause and no more.

A picture is computed as a whole, alone in its step, however long that takes; between two pictures
the others have a step of their own.

No ctypes, no clock, no threads: ``loop.py`` owns one scheduler and calls it from one thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain

from runner.domain.request import CacheUse
from runner.engine.chunks import Chunk, chunk_of, one_for_each
from runner.engine.pictures import whole
from runner.engine.plan import Admission, Effect, Free, Park, Plan, Share
from runner.engine.prefix import PrefixTree, n_common
from runner.engine.queue import Queue, deal, youngest_of_lowest
from runner.engine.sequence import Adapters, Sequence

#: Cells a sequence should find free beyond its prompt when it is admitted, in tokens.
MARGIN = 64
#: Tokens in common that are worth sharing or waiting for: a chat template's opening is.
WORTH_SHARING = 16
#: Tokens that are worth a copy to host memory and back.
WORTH_SAVING = 64
#: How many that do not fit are tried before the others have to wait for the next occasion.
LOOK_AHEAD = 8

#: Tokens after which a stream is not to be kept waiting.  Before, nobody reads it yet, and requests
#: that come together are computed together: whole batches are faster.
ESTABLISHED = 4


@dataclass(slots=True)
class Scheduler:
    """Decode first, then prompts as ``queue.py`` deals, within ``n_batch`` tokens a step.

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
    _queue: Queue = field(default_factory=Queue)
    _running: list[Sequence] = field(default_factory=list)
    _cold: list[int] = field(default_factory=list)  # seq_ids, oldest first
    _cold_terms: dict[int, tuple[str, CacheUse, str]] = field(default_factory=dict)  # of ``Free``
    _free_ids: list[int] = field(init=False)
    _tree: PrefixTree = field(default_factory=PrefixTree)
    _is_backing_off: bool = False
    _turns: list[Adapters] = field(default_factory=list)  # who has waited longest comes first
    _has_looked: bool = False  # the last step was a picture, so the others are next
    _may_admit: bool = False  # something changed since nobody more could be let in

    def __post_init__(self) -> None:
        assert self.n_batch >= self.n_seq_max
        self._free_ids = list(range(self.n_seq_max + self.n_cold_max))

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._running and not self._queue

    @property
    def n_free(self) -> int:
        """Cells that nothing is in."""
        return self.n_cells - self._tree.n_cells

    @property
    def running(self) -> tuple[Sequence, ...]:
        """The admitted sequences, the one that was let in first at the front."""
        return tuple(self._running)

    @property
    def waiting(self) -> list[Sequence]:
        """The sequences that wait, who is next first."""
        return self._queue.in_order()

    @property
    def n_saved_bytes(self) -> int:
        """Memory that the states of those who gave way take."""
        return sum(len(seq.saved) for seq in self._queue)

    def add(self, seq: Sequence) -> None:
        """Queue a sequence."""
        self._queue.add(seq)
        self._may_admit = True

    def find(self, request_id: str) -> Sequence | None:
        """Return the sequence of a request that has not ended."""
        for seq in chain(self._running, self._queue):
            if seq.request_id == request_id:
                return seq
        return None

    def remove(self, seq: Sequence) -> list[Effect]:
        """Forget an ended sequence; what it has computed stays as a cold prefix if nothing runs."""
        self._may_admit = True
        self._queue.end(seq)
        if seq.seq_id < 0:
            return []
        self._running.remove(seq)
        self._is_backing_off = False
        effects: list[Effect] = []
        if not self.n_cold_max or not seq.n_computed or seq.cache is CacheUse.NONE:
            effects.append(Free(seq.seq_id))
            self._release(seq)
            return effects
        while len(self._cold) >= self.n_cold_max:
            self._evict(effects)
        self._cold.append(seq.seq_id)
        self._cold_terms[seq.seq_id] = seq.owner_id, seq.keeps, seq.terms.conversation_id
        seq.seq_id, seq.n_computed = -1, 0
        while self._running and self._cold:
            self._evict(effects)
        return effects

    def admit(self) -> Admission:
        """Let waiting sequences in, in order; one that waits for a beginning lets others pass."""
        effects: list[Effect] = []
        admitted: list[Sequence] = []
        if not self._queue or self._is_backing_off or (self._running and not self._may_admit):
            return Admission(effects, admitted)
        self._make_room(effects)
        self._may_admit = False
        self._let_in(effects, admitted)
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
        if chunks := self._one_of_each():
            return Plan(effects, chunks, is_usual=True)
        self._make_room(effects)
        due = self._due()
        if looking := [seq for seq in due if seq.pictures and seq.picture]:
            if plan := self._look(looking, len(due), effects):
                return plan
            due = [seq for seq in due if seq not in looking]
        decoding = [seq for seq in due if seq.is_streaming]
        prefilling = [seq for seq in due if not seq.is_streaming]
        n_wanted = min(self.n_batch, sum(seq.n_pending for seq in due))
        effects += self.make_free(n_wanted)
        n_left = min(self.n_batch, self.n_free)
        chunks = one_for_each(decoding, n_left)
        n_left -= sum(chunk.n for chunk in chunks)
        if n_prompt_max is not None and any(map(_is_established, self._running)):
            n_left = min(n_left, n_prompt_max)
        shares = deal(prefilling, n_left)
        return Plan(effects, chunks + [chunk_of(seq, n) for seq, n in shares])

    def _one_of_each(self) -> list[Chunk]:
        """The usual step, found cheaply: the token drawn last of every sequence, if that is all.

        Nearly all steps are such; the rules of ``step`` come to the same for them.
        """
        running = self._running
        if len(running) > min(self.n_batch, self.n_cells - self._tree.n_cells):
            return []
        chunks = []
        for seq in running:
            start = seq.n_computed
            if len(seq.tokens) - start != 1 or seq.adapters != running[0].adapters:
                return []
            chunks.append(Chunk(seq, start, 1, draw=True))
        return chunks

    def _look(self, looking: list[Sequence], n_due: int, effects: list[Effect]) -> Plan | None:
        """Return the step of the picture that has waited longest; ``None``: others are first."""
        is_alone = len(looking) == n_due
        self._has_looked = not self._has_looked or is_alone
        if not self._has_looked:
            return None
        seq = min(looking, key=lambda seq: (seq.rank, seq.arrival))
        picture = seq.picture
        assert picture is not None
        effects += self.make_free(picture.n)
        while is_alone and seq.seq_id >= 0 and self.n_free < picture.n:
            if not self.preempt(effects):  # nobody else will end, and so make room
                break
        if seq.seq_id < 0 or self.n_free < picture.n:
            self._has_looked = False
            return Plan(effects, []) if is_alone else None
        chunk = Chunk(seq, seq.n_computed, picture.n, draw=False)
        return Plan(effects, [chunk], picture=picture)

    def _due(self) -> list[Sequence]:
        """The running sequences of the next step: those with one set of adapters, in turns.

        A step is computed with one set, so each set waits for at most one step of every other.
        """
        sets = dict.fromkeys(seq.adapters for seq in self._running)
        turns = [adapters for adapters in self._turns if adapters in sets]
        turns += [adapters for adapters in sets if adapters not in turns]
        self._turns = turns[1:] + turns[:1]
        return [seq for seq in self._running if seq.adapters == turns[0]]

    def commit(self, plan: Plan) -> None:
        """Record that ``plan`` was computed; drawn tokens are the caller's to append.

        Guessed ones are in cells that are not counted until ``confirm`` says which stay.
        """
        if plan.is_usual:  # nearly all are: the same as below, quicker
            for chunk in plan.chunks:
                seq = chunk.seq
                self._tree.append(seq.seq_id, seq.tokens[chunk.start], seq.cells_key)
                seq.n_computed += 1
                if seq.account:
                    seq.account.n_served += 1
            return
        for chunk in plan.chunks:
            seq, n = chunk.seq, chunk.n_sure
            tokens = seq.tokens[chunk.start : chunk.start + n]
            self._tree.extend(seq.seq_id, tokens, seq.cells_key)
            seq.n_computed += n
            seq.guess = chunk.guess
            if seq.account:
                seq.account.n_served += chunk.n
            if n > 1 or not chunk.draw:  # of a prompt: somebody may wait for this beginning
                self._may_admit = True

    def confirm(self, seq: Sequence, n: int) -> None:
        """Record that the first ``n`` of the tokens guessed for ``seq`` were right."""
        if n:
            self._tree.extend(seq.seq_id, seq.guess[:n], seq.cells_key)
            seq.n_computed += n
        seq.guess = ()

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
            self._tree.extend(seq.seq_id, seq.tokens[:n], seq.cells_key)
        seq.n_computed = n

    def rewind(self, seq: Sequence) -> list[Effect]:
        """A running sequence's tokens were changed: its cells go, and it is computed again."""
        self._tree.drop(seq.seq_id)
        seq.n_computed = 0
        return [Free(seq.seq_id)]

    def n_alike(self, seq: Sequence) -> int:
        """Return how many tokens of its beginning are in the cache for ``seq`` to share."""
        match = self._tree.match(seq.tokens, seq.cells_key)
        return match.n if match else 0

    def cold(self) -> list[Free]:
        """Return what would be freed if the cold prefixes left now, whatever it is worth."""
        return [self._as_freed(seq_id) for seq_id in self._cold]

    def forget(
        self, owner_id: str | None = None, conversation_id: str | None = None
    ) -> list[Effect]:
        """Free the cold prefixes of one owner, of one conversation, or all, without saving them."""
        effects: list[Effect] = []
        for seq_id in tuple(self._cold):
            owner, _, conversation = self._cold_terms[seq_id]
            if owner_id in (None, owner) and conversation_id in (None, conversation):
                self._cold.remove(seq_id)
                self._drop_cold(seq_id)
                effects.append(Free(seq_id))
        return effects

    def preempt(self, effects: list[Effect]) -> bool:
        """Take the cells of the youngest of the lowest class; return whether there was one to take.

        There is not when fewer than two run: the last one must be able to go on.
        """
        if len(self._running) < 2:
            return False
        self._give_way(youngest_of_lowest(self._running)[0], effects)
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
        self._cold_terms.clear()
        for seq in self._running:
            seq.n_computed = 0

    def check(self) -> None:
        """Assert the bookkeeping's invariants; cheap enough for every idle moment."""
        ids = [seq.seq_id for seq in self._running] + self._cold + self._free_ids
        assert sorted(ids) == list(range(self.n_seq_max + self.n_cold_max)), "seq_ids leaked"
        assert sorted(self._cold_terms) == sorted(self._cold)
        assert all(seq not in self._queue for seq in self._running), "both running and waiting"
        assert not any(seq.saved for seq in self._running), "a state that nobody needs"
        self._queue.check()
        assert self._tree.n_cells <= self.n_cells
        for seq in self._running:
            assert self._tree.tokens(seq.seq_id) == seq.tokens[: seq.n_computed]

    def _let_in(self, effects: list[Effect], admitted: list[Sequence]) -> None:
        n_unfit = 0
        for seq in self._queue.in_order():
            victims = youngest_of_lowest(s for s in self._running if s.rank > seq.rank)
            if len(self._running) >= self.n_seq_max and not victims:
                break  # nor has anyone after it, since they come by class
            if not seq.saved and self._is_being_computed(seq):
                continue
            if self._enter(seq, effects) or self._displace(seq, victims, effects):
                self._queue.let_in(seq)
                self._running.append(seq)
                admitted.append(seq)
                continue
            n_unfit += 1
            if n_unfit == LOOK_AHEAD or self._queue.is_overdue(seq):
                break

    def _displace(self, seq: Sequence, victims: list[Sequence], effects: list[Effect]) -> bool:
        """Let as few ``victims`` give way as it takes to let ``seq`` in; none if it takes more."""
        n_wanted = min(len(seq.tokens) + MARGIN, seq.n_limit)
        for n_victims in range(1, len(victims) + 1):
            staying = [other for other in self._running if other not in victims[:n_victims]]
            n_held = self._tree.n_held({other.seq_id for other in staying})
            n_pending = sum(other.n_pending for other in staying)
            if staying and n_held + n_pending + n_wanted > self.n_cells:
                continue
            for victim in victims[:n_victims]:
                self._give_way(victim, effects)
            return self._enter(seq, effects)
        return False

    def _give_way(self, seq: Sequence, effects: list[Effect]) -> None:
        """Take a running sequence's cells; it waits again."""
        self._running.remove(seq)
        seq_id, n = seq.seq_id, seq.n_computed
        self._release(seq)
        # What has pictures is computed again: they are not kept outside of the cache.
        effects.append(Park(seq_id, seq, n) if n and not seq.pictures else Free(seq_id))
        self._queue.put_back(seq)
        self._may_admit = True

    def _make_room(self, effects: list[Effect]) -> None:
        """Free cells until every decoding sequence can have its next one."""
        while True:
            n_decoding = sum(seq.n_pending for seq in self._running if seq.is_streaming)
            if self._tree.n_cells + n_decoding <= self.n_cells:
                return
            if self._cold:
                self._evict(effects)
            elif not self.preempt(effects):
                return

    def _is_being_computed(self, seq: Sequence) -> bool:
        """Whether a running sequence will soon have more of this one's beginning than is there.

        One of a lower class will not: its prompt itself waits for those of higher ones.
        """
        if not self._may_share(seq):
            return False
        n_there = self.n_alike(seq)
        return any(
            n_common(other.tokens, seq.tokens) >= max(n_there, other.n_computed) + WORTH_SHARING
            for other in self._running
            if other.n_pending > 1 and other.rank <= seq.rank and other.cells_key == seq.cells_key
        )

    def _may_share(self, seq: Sequence) -> bool:
        return self.n_cold_max > 0 and seq.may_share

    def _enter(self, seq: Sequence, effects: list[Effect]) -> bool:
        """Give a waiting sequence a ``seq_id`` and what the cache has of it, if it fits."""
        if len(self._running) >= self.n_seq_max:
            return False
        if not self._free_ids:
            self._evict(effects)
        seq_id = self._free_ids.pop()
        # The last token is computed in any case: without it there would be nothing to draw from.
        n_most = len(seq.tokens) - 1 if self._may_share(seq) and not self._is_restored(seq) else 0
        if seq.pictures and n_most:
            n_most = whole(seq.pictures, min(n_most, self.n_alike(seq)))
        match = self._tree.fork(
            seq_id, seq.tokens, n_most, key=seq.cells_key, n_least=WORTH_SHARING
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
            effects.append(Share(match.seq_id, seq_id, seq.position(n_shared)))
        return True

    def _is_restored(self, seq: Sequence) -> bool:
        """Whether one that gave way gets its saved state back, and does not share another's cells.

        Where others hold nearly all of it, a second copy would slow every step of everyone.
        """
        if not seq.saved:
            return False
        n_there = self.n_alike(seq) if self._may_share(seq) else 0
        return n_there < WORTH_SHARING or seq.n_saved - n_there >= WORTH_SAVING

    def _evict(self, effects: list[Effect]) -> None:
        """Free the oldest cold prefix; it is worth saving if much of it would be lost."""
        freed = self._as_freed(self._cold.pop(0))
        n_own = self._tree.n_own(freed.seq_id)
        is_worth = n_own >= max(WORTH_SAVING, len(freed.tokens) // 4)
        self._drop_cold(freed.seq_id)
        effects.append(freed if is_worth else Free(freed.seq_id))

    def _as_freed(self, seq_id: int) -> Free:
        return Free(seq_id, tuple(self._tree.tokens(seq_id)), *self._cold_terms[seq_id])

    def _drop_cold(self, seq_id: int) -> None:
        self._tree.drop(seq_id)
        self._free_ids.append(seq_id)
        del self._cold_terms[seq_id]

    def _release(self, seq: Sequence) -> None:
        self._tree.drop(seq.seq_id)
        self._free_ids.append(seq.seq_id)
        seq.seq_id, seq.n_computed = -1, 0


def _is_established(seq: Sequence) -> bool:
    """Whether somebody reads it already, and waits for its next token."""
    return seq.is_streaming and seq.n_generated >= ESTABLISHED

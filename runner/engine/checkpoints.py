"""Exact checkpoints: how models whose state cannot be cut use what they computed before.

A recurrent state and a sliding window know only where they stand: what came before is gone, so a
stored state serves a prompt that begins with all of its tokens, and no other.  Therefore a running
sequence is *marked* at a few chosen places: there the part that later tokens overwrite is copied.
When it ends, its whole state is kept with its marks, and a prompt that begins like it goes on from
the last mark before they differ.  Marks are put

- shortly before the end of a prompt: the next turn of a conversation begins with it, whatever the
  template makes of the answer;
- where a prompt begins to differ from one that ran before or still runs: what many have in common,
  such as long instructions, is found there from the third on;
- every ``MARK_EVERY`` tokens or so of a long prompt.

``Marks`` decides, purely; ``Checkpoints`` does it.  Called from the loop thread only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence as Seq
from dataclasses import dataclass

from runner.engine.backend import Backend
from runner.engine.pictures import whole
from runner.engine.prefix import n_common
from runner.engine.sequence import Sequence

#: Tokens that are worth a copy of the state; fewer are computed again.
WORTH_MARKING = 64
#: Tokens between marks in a long prompt, at least.
MARK_EVERY = 1024
#: Marks of one sequence: each may be tens of megabytes.
MOST_MARKS = 8
#: A mark stands so many tokens before the prompt's end: how a template opens an answer is not
#: always how it shows the answer in the next turn.
BEFORE_END = 8


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """What later tokens overwrite, as it was after the first ``n`` tokens."""

    n: int
    blob: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The whole state of a sequence that ended, its marks in order, and what it is a part of."""

    owner_id: str
    tokens: tuple[int, ...]
    blob: bytes
    marks: tuple[Mark, ...]
    conversation_id: str = ""

    @property
    def n_bytes(self) -> int:
        """Memory it takes."""
        return len(self.blob) + sum(len(mark.blob) for mark in self.marks)

    def n_usable(self, tokens: Seq[int]) -> int:
        """How many of ``tokens`` it can stand for: all of its own, or up to a mark."""
        n = n_common(self.tokens, tokens)
        if n == len(self.tokens):
            return n
        return max((mark.n for mark in self.marks if mark.n <= n), default=0)

    def mark_at(self, n: int) -> bytes:
        """Return what has to be put back to stand after ``n`` tokens; empty at its end."""
        if n == len(self.tokens):
            return b""
        return next(mark.blob for mark in self.marks if mark.n == n)


class Marks:
    """Kept states within ``n_bytes_max``, marks of running sequences counted; the oldest go."""

    def __init__(self, n_bytes_max: int) -> None:
        self._n_bytes_max = n_bytes_max
        self._kept: list[Kept] = []  # least recently used first
        self._running: dict[Sequence, list[Mark]] = {}
        self.n_bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, owner_id: str, tokens: Seq[int]) -> tuple[Kept, int] | None:
        """Return what stands for most of ``tokens``, and for how many; it counts as used."""
        best, n_best, tokens = None, 0, tuple(tokens)  # tuples compare at once, not one by one
        for kept in self._kept:
            if kept.owner_id == owner_id and (n := kept.n_usable(tokens)) > n_best:
                best, n_best = kept, n
        if best is None:
            return None
        self._kept.remove(best)
        self._kept.append(best)
        return best, n_best

    def begin(self, seq: Sequence, marks: Iterable[Mark]) -> None:
        """``seq`` runs, from a state with ``marks`` or from none; choose where it halts."""
        self.end(seq)
        others = [kept.tokens for kept in self._kept if kept.owner_id == seq.owner_id]
        others += [tuple(other.tokens) for other in self._running if other.owner_id == seq.owner_id]
        places = halts(tuple(seq.tokens), seq.n_computed, others)
        if seq.pictures:  # nobody stands inside one
            places = sorted({whole(seq.pictures, n) for n in places})
        seq.halts = [n for n in places if n > seq.n_computed]
        self._running[seq] = []
        for mark in marks:
            self.add_mark(seq, mark)

    def add_mark(self, seq: Sequence, mark: Mark) -> None:
        """Take a mark of a running sequence, if there is room for it."""
        if not mark.blob or not self._make_room(len(mark.blob)):
            return
        marks = self._running[seq]
        marks.append(mark)
        self.n_bytes += len(mark.blob)
        if len(marks) > MOST_MARKS:
            self.n_bytes -= len(marks.pop(_least_useful([each.n for each in marks])).blob)

    def end(self, seq: Sequence) -> tuple[Mark, ...]:
        """``seq`` runs no more; return its marks."""
        marks = self._running.pop(seq, [])
        self.n_bytes -= sum(len(mark.blob) for mark in marks)
        return tuple(marks)

    def has(self, owner_id: str, tokens: Seq[int]) -> bool:
        """Whether the very state of ``tokens`` is kept."""
        return any(
            kept.owner_id == owner_id and kept.tokens == tuple(tokens) for kept in self._kept
        )

    def keep(self, kept: Kept) -> None:
        """Keep a state; those of the texts it begins with are of no more use."""
        for old in list(self._kept):
            n = len(old.tokens)
            if old.owner_id == kept.owner_id and n_common(old.tokens, kept.tokens) == n:
                self._drop(old)
        if self._make_room(kept.n_bytes):
            self._kept.append(kept)
            self.n_bytes += kept.n_bytes

    def clear(self, owner_id: str | None = None, conversation_id: str | None = None) -> None:
        """Forget what is kept of one owner, of one conversation, or all."""
        for kept in list(self._kept):
            is_its = conversation_id in (None, kept.conversation_id)
            if is_its and owner_id in (None, kept.owner_id):
                self._drop(kept)

    def _make_room(self, n_bytes: int) -> bool:
        while self._kept and self.n_bytes + n_bytes > self._n_bytes_max:
            self._drop(self._kept[0])
        return self.n_bytes + n_bytes <= self._n_bytes_max

    def _drop(self, kept: Kept) -> None:
        self._kept.remove(kept)
        self.n_bytes -= kept.n_bytes


def halts(tokens: Seq[int], n_done: int, others: Iterable[Seq[int]]) -> list[int]:
    """Return the places, ascending, at which a prompt is to be marked.

    Args:
        tokens: The prompt.
        n_done: Tokens that it begins with already.
        others: Other texts, with which it may have a beginning in common.
    """
    n_last = len(tokens) - BEFORE_END
    n_every = max(MARK_EVERY, -(-len(tokens) // (MOST_MARKS - 2)))
    places = {*range(n_every, n_last, n_every), n_last}
    places.add(max((n_common(other, tokens) for other in others), default=0))
    return sorted(n for n in places if max(n_done, WORTH_MARKING - 1) < n <= n_last)


def _least_useful(places: Seq[int]) -> int:
    """Index of the mark without which the largest gap between its neighbours is smallest."""
    gaps = [after - before for before, after in zip([0, *places[:-2]], places[1:], strict=True)]
    return gaps.index(min(gaps))


class Checkpoints:
    """Marks running sequences and brings them back; ``Marks`` says where and which."""

    def __init__(self, backend: Backend, n_bytes_max: int) -> None:
        self._backend = backend
        self._marks = Marks(n_bytes_max)

    @property
    def n_bytes(self) -> int:
        """Memory in use."""
        return self._marks.n_bytes

    def restore(self, seq: Sequence, n_free: int) -> int | None:
        """Give an admitted sequence, of which nothing is computed, the best state there is.

        Args:
            seq: Its ``seq_id`` is set.
            n_free: Free cells: a state comes whole before it is cut.

        Returns:
            How many tokens it has now; ``None`` when there was nothing worth it.
        """
        found = self._marks.find(seq.owner_id, seq.tokens[:-1]) if seq.uses_checkpoints else None
        if found is None or found[1] < WORTH_MARKING or len(found[0].tokens) > n_free:
            return None
        kept, n = found
        self._backend.free(seq.seq_id)
        return n if self._backend.restore(seq.seq_id, kept.blob, n, kept.mark_at(n)) else 0

    def begin(self, seq: Sequence) -> None:
        """An admitted sequence begins with ``seq.n_computed`` tokens of a state given by us."""
        if not seq.uses_checkpoints:
            return
        marks: list[Mark] = []
        if seq.n_computed:
            found = self._marks.find(seq.owner_id, seq.tokens[: seq.n_computed])
            marks += [mark for mark in found[0].marks if mark.n < seq.n_computed] if found else []
            marks.append(Mark(seq.n_computed, self._backend.save(seq.seq_id, partial=True)))
        self._marks.begin(seq, marks)

    def reach(self, seq: Sequence) -> None:
        """Mark a sequence that has come to where it was to halt."""
        if seq.halts and seq.n_computed >= seq.halts[0]:
            n = seq.halts.pop(0)
            if n == seq.n_computed:
                blob = self._backend.save(seq.seq_id, partial=True)
                self._marks.add_mark(seq, Mark(n, blob))

    def end(self, seq: Sequence) -> None:
        """Keep the state of a sequence that is about to be freed."""
        marks = self._marks.end(seq)
        n = seq.n_computed
        tokens = tuple(seq.tokens[:n])
        if n < WORTH_MARKING or not seq.uses_checkpoints or self._marks.has(seq.owner_id, tokens):
            return
        if blob := self._backend.save(seq.seq_id):
            usable = tuple(mark for mark in marks if mark.n < n)
            conversation = seq.terms.conversation_id
            self._marks.keep(Kept(seq.owner_id, tokens, blob, usable, conversation))

    def clear(self, owner_id: str | None, conversation_id: str | None) -> None:
        """Forget what is kept of one owner, of one conversation, or all."""
        self._marks.clear(owner_id, conversation_id)

"""Deterministic requests: the same bytes whatever else runs and whatever was computed before.

Sums of floats depend on how many tokens are computed together.  So these requests have a context
of their own, in which one of them runs at a time: its prompt in chunks that begin at multiples of
``GRID`` tokens, its answer token by token, nothing else beside it.  Of what ran before only whole
chunks are used again, which would be computed in the same way, so cached and uncached are equal.

What it costs: the memory of a second context, prompts in chunks smaller than they could be, and
answers one after the other.  Called from the loop thread only, one step in turn with the others'.
"""

from __future__ import annotations

from collections import deque

from runner.engine.backend import Backend
from runner.engine.chunks import Chunk
from runner.engine.prefix import n_common
from runner.engine.sequence import Adapters, Sequence

#: Tokens of a chunk: as few as a running stream may have to wait for, in one step.
GRID = 32


class Grid:
    """Runs deterministic sequences, first come, first served, in ``backend``'s own context."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._waiting: deque[Sequence] = deque()
        self._running: Sequence | None = None
        self._chunks: list[int] = []  # tokens of the whole chunks in the cache, from the first on
        self._key: tuple[str, Adapters] = ("", ())  # whose, and what they were computed with
        self._conversation_id = ""

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return self._running is None and not self._waiting

    @property
    def running(self) -> Sequence | None:
        """The one that is computed."""
        return self._running

    @property
    def waiting(self) -> tuple[Sequence, ...]:
        """Those after it, in order."""
        return tuple(self._waiting)

    def add(self, seq: Sequence) -> None:
        """Queue a sequence."""
        self._waiting.append(seq)

    def find(self, request_id: str) -> Sequence | None:
        """Return the sequence of a request that has not ended."""
        for seq in (self._running, *self._waiting):
            if seq is not None and seq.request_id == request_id:
                return seq
        return None

    def admit(self) -> Sequence | None:
        """Let the next one begin, if none runs; return the one that begins."""
        if self._running is not None or not self._waiting:
            return None
        self._running = self._waiting.popleft()
        self.rewind(self._running)
        return self._running

    def rewind(self, seq: Sequence) -> None:
        """Let the running sequence begin: its tokens are new, or were changed."""
        n = 0
        if seq.cells_key == self._key and not seq.is_telling:
            n = n_common(self._chunks, seq.tokens[:-1]) // GRID * GRID
        self._key, self._conversation_id = seq.cells_key, seq.terms.conversation_id
        del self._chunks[n:]
        self._backend.cut(0, n)
        seq.seq_id, seq.n_computed = 0, n

    def next_chunk(self) -> Chunk | None:
        """Return what the running sequence computes next."""
        seq = self._running
        if seq is None:
            return None
        n = min(seq.n_pending, GRID - seq.n_computed % GRID)
        return Chunk(seq, seq.n_computed, n, draw=n == seq.n_pending)

    def compute(self, chunk: Chunk) -> int:
        """Compute a chunk; return its last row.

        Raises:
            DecodeFailed: It cannot be computed; ``reset`` before going on.
            NoSlot: Likewise.
        """
        (row,) = self._backend.decode([chunk])
        seq, n_end = chunk.seq, chunk.start + chunk.n
        seq.n_computed = n_end
        can_be_cut = self._backend.n_cold_max > 0
        if can_be_cut and chunk.n == GRID and chunk.start == len(self._chunks):
            self._chunks += seq.tokens[chunk.start : n_end]
        return row

    def remove(self, seq: Sequence) -> None:
        """Forget an ended sequence; its whole chunks stay for the next."""
        if seq is self._running:
            self._running = None
            self._backend.cut(0, len(self._chunks))
            seq.seq_id, seq.n_computed = -1, 0
        else:
            self._waiting.remove(seq)

    def clear(self, owner_id: str | None, conversation_id: str | None) -> None:
        """Forget what is kept of one owner, of one conversation, or all; what runs goes on."""
        is_its = conversation_id in (None, self._conversation_id)
        if self._running is None and is_its and owner_id in (None, self._key[0]):
            self._chunks.clear()
            self._backend.cut(0, 0)

    def reset(self) -> None:
        """Nothing in the cache is to be trusted."""
        self._chunks.clear()
        self._backend.clear()

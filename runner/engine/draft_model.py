"""A small model that guesses what a large one will say.

It has a cache of its own, in which every sequence that is guessed for has what it has in the large
one's, a few tokens behind: what was guessed wrong is cut off again, what is new is computed first.
A long prompt is caught up with in pieces, one a step.  Called from the loop thread only.
"""

from __future__ import annotations

import time

from runner.domain.options import SamplingParams
from runner.engine.backend import Backend, DecodeFailed, NoSlot, Vocabulary
from runner.engine.chunks import Chunk
from runner.engine.detokenize import Detokenizer
from runner.engine.prefix import n_common
from runner.engine.sequence import Sequence

#: Weight of the newest guess in the running mean of seconds.
_NEWEST = 0.25


class DraftModel:
    """Guesses greedily, one sequence after the other.

    Attributes:
        share: Its size as a share of the large one's: what a token of it is assumed to take
            before any was measured.
        n_ctx: Longest text, in tokens, that it can guess for.
        token_s: Seconds that a guessed token takes, as measured; 0 before.
    """

    def __init__(self, backend: Backend, vocabulary: Vocabulary, *, share: float = 0.1) -> None:
        assert backend.n_cold_max > 0, "a draft model's state must be one that can be cut"
        self.share = share
        self.n_ctx = backend.n_ctx
        self.token_s = 0.0
        self._backend = backend
        self._vocabulary = vocabulary
        self._sampler = backend.new_sampler(SamplingParams(temperature=0), [0])
        self._free_ids = list(range(backend.n_seq_max))
        self._twins: dict[Sequence, Sequence] = {}  # the one guessed first at the front

    def guess(self, seq: Sequence, n: int) -> tuple[list[int], float]:
        """Return at most ``n`` tokens that may follow ``seq``, and the seconds that took.

        There are none while it has not caught up with a long text, and none beyond its context.
        """
        began = time.perf_counter()
        try:
            tokens = self._guess(seq, min(n, self.n_ctx - len(seq.tokens) - 1))
        except (NoSlot, DecodeFailed):
            self.clear()
            tokens = []
        seconds = time.perf_counter() - began
        if tokens:
            token_s = seconds / len(tokens)
            self.token_s = self.token_s or token_s
            self.token_s += _NEWEST * (token_s - self.token_s)
        return tokens, seconds

    def forget(self, seq: Sequence) -> None:
        """Free what is kept for a sequence."""
        twin = self._twins.pop(seq, None)
        if twin is not None:
            self._backend.free(twin.seq_id)
            self._free_ids.append(twin.seq_id)

    def clear(self) -> None:
        """Begin anew: its cache was full, or was lost."""
        self._backend.clear()
        self._free_ids = list(range(self._backend.n_seq_max))
        self._twins.clear()

    def close(self) -> None:
        """Free the sampler."""
        self._sampler.close()

    def _guess(self, seq: Sequence, n: int) -> list[int]:
        if n <= 0:
            return []
        twin = self._twin(seq)
        n_same = min(n_common(twin.tokens[: twin.n_computed], seq.tokens), len(seq.tokens) - 1)
        if n_same < twin.n_computed:
            self._backend.cut(twin.seq_id, n_same)
        twin.tokens, twin.n_computed = list(seq.tokens), n_same
        if twin.n_pending > self._backend.n_batch:
            self._compute(twin, self._backend.n_batch)
            return []
        guess: list[int] = []
        while len(guess) < n:
            token = self._sampler.draw(self._compute(twin, twin.n_pending))
            guess.append(token)
            twin.tokens.append(token)
            if self._vocabulary.is_eog(token):
                break
        return guess

    def _compute(self, twin: Sequence, n: int) -> int:
        """Compute the next ``n`` tokens; return the last one's row."""
        chunk = Chunk(twin, twin.n_computed, n, draw=n == twin.n_pending)
        (row,) = self._backend.decode([chunk])
        twin.n_computed += n
        return row

    def _twin(self, seq: Sequence) -> Sequence:
        """What this model has of a sequence; the oldest other one goes when there is no room."""
        found = self._twins.get(seq)
        if found is None:
            if not self._free_ids:
                self.forget(next(iter(self._twins)))
            seq_id = self._free_ids.pop()
            found = Sequence(
                seq.request_id,
                [],
                0,
                self._backend.n_ctx,
                self._sampler,
                Detokenizer(),
                seq_id=seq_id,
            )
            self._twins[seq] = found
        return found

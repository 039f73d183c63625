"""The part that one sequence has in a step: some of its next tokens, and guesses after them.

Pure; which sequences have one, and how large it may be, says ``scheduler.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.engine.sequence import Sequence


@dataclass(slots=True)
class Chunk:
    """Consecutive tokens of one sequence in one step.

    Attributes:
        seq: Whose tokens.
        start: Index of the first in ``seq.tokens``, which is also its position.
        n: How many, guessed ones included.
        draw: Whether they are its last ones, so that a token is drawn after them.
        guess: Tokens that follow them if ``speculate.py`` is right: after each of them, and after
            the last of the others, a token can be drawn.
    """

    seq: Sequence
    start: int
    n: int
    draw: bool
    guess: tuple[int, ...] = ()

    @property
    def n_sure(self) -> int:
        """How many are of ``seq.tokens``."""
        return self.n - len(self.guess)

    @property
    def n_rows(self) -> int:
        """Of how many, counted from the last, logits are wanted."""
        if self.seq.is_telling:
            return self.n
        return 1 + len(self.guess) if self.draw else 0


def one_for_each(seqs: list[Sequence], n_left: int) -> list[Chunk]:
    """What came last of each stream: its token, and those this one forced as far as they fit."""
    chunks: list[Chunk] = []
    for n_after, seq in zip(range(len(seqs) - 1, -1, -1), seqs, strict=True):
        n = min(seq.n_pending, max(n_left - n_after, 1), n_left)
        if n <= 0:
            break
        chunks.append(chunk_of(seq, n))
        n_left -= n
    return chunks


def chunk_of(seq: Sequence, n: int) -> Chunk:
    """The next ``n`` tokens of a sequence, no further than where it must stop to be marked."""
    n = min(n, seq.n_until_halt)
    return Chunk(seq, seq.n_computed, n, draw=n == seq.n_pending)

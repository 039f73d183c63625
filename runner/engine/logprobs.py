"""Log probabilities: what the model thinks of a token, and which text each belongs to.  Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from runner.domain.event import Candidate, TokenLogprob


def token_logprob(
    logits: npt.NDArray[np.float32],
    token: int,
    n_top: int,
    spelling: Callable[[int], bytes],
) -> TokenLogprob:
    """Return the log probability of ``token`` and of the ``n_top`` likeliest.

    Args:
        logits: The model's own, ``(n_vocab,)``; natural logarithms, any constant added.
        token: The one drawn.
        n_top: How many others; 0 for none.
        spelling: The bytes of a token.
    """
    values = logits.astype(np.float64)
    highest = values.max()
    total = highest + np.log(np.exp(values - highest).sum())

    def candidate(each: int) -> Candidate:
        return Candidate(each, spelling(each), float(values[each] - total))

    top: list[int] = []
    if n_top := min(n_top, len(values)):
        found = np.argpartition(-values, n_top - 1)[:n_top]
        top = found[np.lexsort((found, -values[found]))].tolist()
    return TokenLogprob(candidate(token), tuple(candidate(each) for each in top))


class HeldLogprobs:
    """Keeps log probabilities back as long as the text of their tokens is kept back.

    A token goes out with the first character that it had a part in.  Positions are characters of
    the answer, those of stop strings included.
    """

    def __init__(self) -> None:
        self._held: deque[tuple[int, TokenLogprob]] = deque()
        self._n_in = 0
        self._n_out = 0

    def add(self, logprob: TokenLogprob | None, n_new: int) -> None:
        """Take a token that completed ``n_new`` characters; ``None``: one not to be told of."""
        if logprob is not None:
            self._held.append((self._n_in, logprob))
        self._n_in += n_new

    def release(self, n_out: int, *, is_all: bool = False) -> tuple[TokenLogprob, ...]:
        """Return what belongs to the next ``n_out`` characters; all of it with ``is_all``."""
        self._n_out += n_out
        out = []
        while self._held and (is_all or self._held[0][0] < self._n_out):
            out.append(self._held.popleft()[1])
        return tuple(out)

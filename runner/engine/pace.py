"""How much of a prompt one step may compute while others stream.  Pure: the caller has the clock.

A step computes streams and prompts together and ends when all of it is done, so each prompt token
in it makes every stream wait.  The machine's own speed says how many fit into ``TARGET_S``; when
nothing streams, a prompt gets whole batches.
"""

from __future__ import annotations

#: Longest time between two tokens of a stream that a prompt should cause, in seconds.
TARGET_S = 0.08
#: A prompt must get on, however slow the machine is.
_LEAST = 8
#: More than any batch; a clock that hardly moved must not make it infinite.
_MOST = 1 << 16
#: What is assumed before anything was measured: too little costs one step, too much a frozen text.
_FIRST = 32
#: Weight of the newest step in the running mean: a machine that gets busy is noticed in a few.
_NEWEST = 0.3


class Pace:
    """A running mean of the seconds that one token of a prompt takes."""

    def __init__(self, target_s: float = TARGET_S) -> None:
        self._target_s = target_s
        self._token_s = 0.0

    @property
    def n_prompt(self) -> int:
        """Most prompt tokens of a step beside running streams."""
        if not self._token_s:
            return _FIRST
        return max(_LEAST, int(min(_MOST, self._target_s / self._token_s)))

    def learn(self, n_tokens: int, seconds: float) -> None:
        """Take note of a step with a prompt in it; one of few tokens says little about many."""
        if n_tokens < _LEAST or seconds <= 0:
            return
        token_s = seconds / n_tokens
        if not self._token_s:
            self._token_s = token_s
        self._token_s += _NEWEST * (token_s - self._token_s)

"""What a decode step costs by the tokens in it, as measured.  Pure: the caller has the clock.

On a processor 4 tokens cost about 3.2 times one, on an accelerator hardly more than one, so what a
wrong guess costs must be measured.  What was not measured yet is taken from the nearest size that
was, along the shape a processor has: the careful assumption.
"""

from __future__ import annotations

from bisect import bisect_left

#: Relative seconds of a step, by its tokens, of which every one has its logits computed.
_SHAPE = ((1, 1.0), (2, 1.8), (4, 3.2), (8, 5.0), (16, 8.0), (32, 13.0), (64, 24.0))
#: Weight of the newest step in the running mean; of the first, against what was assumed.
_NEWEST, _FIRST = 0.25, 0.5
#: A step that took longer than so many times what was expected counts as that: something else had
#: the processor.  Where it goes on to take longer, the mean follows in a few steps.
_MOST = 1.5
#: Steps after which a measurement counts no more: the machine may have been busy then.
_STALE = 400


class StepCosts:
    """Running means of the seconds of steps, by their tokens."""

    def __init__(self) -> None:
        self._n_steps = 0
        self._means: dict[int, tuple[float, int]] = {}  # by tokens: seconds, when

    def learn(self, n_tokens: int, seconds: float) -> None:
        """Take note of a step in which every token's logits were computed."""
        if n_tokens < 1 or seconds <= 0:
            return
        self._n_steps += 1
        before = self.seconds(n_tokens) if self._means else seconds
        seconds = min(seconds, _MOST * before)
        weight = _NEWEST if n_tokens in self._means else _FIRST
        self._means[n_tokens] = before + weight * (seconds - before), self._n_steps

    def seconds(self, n_tokens: int) -> float:
        """Return what a step of ``n_tokens`` takes; before anything was measured, in odd units."""
        known = sorted(self._known())
        if not known:
            return _shape(n_tokens)
        at = bisect_left(known, n_tokens)
        if at < len(known) and known[at] == n_tokens:
            return self._means[n_tokens][0]
        if 0 < at < len(known):
            low, high = known[at - 1], known[at]
            below, above = self._means[low][0], self._means[high][0]
            return below + (max(above, below) - below) * (n_tokens - low) / (high - low)
        nearest = known[0] if at == 0 else known[-1]
        return self._means[nearest][0] * _shape(n_tokens) / _shape(nearest)

    def _known(self) -> list[int]:
        """The sizes whose measurements still count."""
        for size, (_, step) in list(self._means.items()):
            if self._n_steps - step > _STALE:
                del self._means[size]
        return list(self._means)


def _shape(n_tokens: int) -> float:
    """Relative seconds of a step, on straight lines between the known ones."""
    low, below = _SHAPE[0]
    for high, above in _SHAPE[1:]:
        if n_tokens <= high:
            return below + (above - below) * (n_tokens - low) / (high - low)
        low, below = high, above
    return below * n_tokens / low

"""What comes next, guessed: by looking up what followed the same words before.  Pure.

A step that computes guessed tokens beside the last sure one brings, where they are right, several
tokens at once.  Whether one is right is never a matter of opinion: after each guess the sequence's
own sampler draws from the model's logits, and the guess was right if it is what was drawn.  So the
answer is the same as without, whatever the guesses.

``Lookup`` finds the last place where the text had the words it ends with.  It is asked after every
token, also when nothing is guessed; so ``Odds`` learns for nothing how often it is right, by how
long the two places have agreed: texts that agreed for long mostly go on to.  ``Drafter`` is one
sequence's share of it, ``choose`` says how many tokens are worth it in a step.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field

from runner.domain.options import Speculate
from runner.engine.costs import StepCosts

#: Most tokens guessed at a time: beyond, a step computes hardly more tokens a second.
MAX_GUESS = 32
#: How many are guessed where nobody asks whether it pays.
_ALWAYS = 15
#: Sizes that are weighed against each other.  With the stream's own token most make a multiple of
#: 4: kernels compute by blocks of 4 or 8 tokens, and one that is left over by itself.  Measured, in
#: steps of one token: 8 cost 4.8, 9 cost 5.7; 16 cost 7.8, 17 cost 9.1.
_SIZES = (1, 2, 3, 5, 7, 11, 15, 23, 31)
#: Tokens by which a place is found: the longer first.
_KEYS = (8, 3)
#: Places that are no token's beginning, at most, before a search gives up.
_MOST_ASKEW = 64
#: What a guess must promise over none, so that errors of measurement do not cost.
_MARGIN = 1.05
#: How much slower a stream that has no guess may become by those of others.
_PACE = 1.02
#: A step is made no longer than this, in seconds, or than so many without guesses: a text that
#: comes in fits and starts is no faster to its reader.
_LONGEST_S, _LONGEST_STEPS = 0.2, 4.0
#: What a sequence may lose by wrong guesses, in steps: at first, for each token in which the two
#: places agree, and as a share of all its steps.
_CREDIT_STEPS, _CREDIT_RUN, _CREDIT_SHARE = 2.0, 0.2, 0.005

#: How often the next token is right, by how many agreed before it; what is assumed at first.
_RUNS = (4, 6, 8, 12, 16, 24, 32)
_ASSUMED = (0.4, 0.55, 0.7, 0.8, 0.88, 0.93, 0.96, 0.98)
#: The same for a draft model, whose guesses do not hang on that.
_MODEL_ASSUMED = (0.75,)
#: Which of these a run belongs to.
_PLACES = tuple(sum(run >= edge for edge in _RUNS) for run in range(_RUNS[-1] + 1))
#: A place found that agreed for so long is a better guide than a draft model.
_SURE = 8
#: Tokens that the assumption is worth, and those after which older ones count half.
_ASSUMED_WEIGHT, _MEMORY = 8.0, 128.0
_TOKEN_BYTES = array("i").itemsize


class Lookup:
    """A text that grows, and the earlier place where it said what it says now.

    Attributes:
        run: Tokens at its end that are also those before that place, at most ``_RUNS[-1]``;
            0: there is no such place.
    """

    def __init__(self, tokens: Seq[int]) -> None:
        self._tokens = list(tokens)
        self._bytes = bytearray(array("i", self._tokens).tobytes())  # which C searches
        self._at = 0
        self.run = 0
        self._search()

    def __len__(self) -> int:
        return len(self._tokens)

    def take(self, token: int) -> bool | None:
        """Add a token; return whether it was the one expected, ``None`` if none was."""
        is_right = self._tokens[self._at] == token if self.run else None
        self._tokens.append(token)
        self._bytes += array("i", (token,)).tobytes()
        if is_right:
            self._at += 1
            self.run = min(self.run + 1, _RUNS[-1])
        else:
            self._search()
        return is_right

    def guess(self, n: int) -> list[int]:
        """Return the ``n`` tokens expected next; none without such a place."""
        if not self.run:
            return []
        period = len(self._tokens) - self._at  # what is repeated is expected to be so again
        return [self._tokens[self._at + i % period] for i in range(n)]

    def _search(self) -> None:
        self.run = 0
        for n in _KEYS:
            if len(self._tokens) > n and (at := self._find(n)):
                self._at, self.run = at, self._n_agreeing(at)
                return

    def _find(self, n: int) -> int:
        """Index of the token after the last earlier occurrence of the last ``n``; 0: none."""
        size = n * _TOKEN_BYTES
        key = bytes(self._bytes[-size:])
        end = len(self._bytes) - _TOKEN_BYTES
        for _ in range(_MOST_ASKEW):
            found = self._bytes.rfind(key, 0, end)
            if found < 0:
                return 0
            if found % _TOKEN_BYTES == 0:
                return found // _TOKEN_BYTES + n
            end = found + size - 1
        return 0

    def _n_agreeing(self, at: int) -> int:
        tokens, last = self._tokens, len(self._tokens)
        n = 0
        while n < min(at, _RUNS[-1]) and tokens[at - 1 - n] == tokens[last - 1 - n]:
            n += 1
        return n


class Odds:
    """How often an expected token came, by how many had come as expected before it."""

    def __init__(self, assumed: Seq[float] = _ASSUMED) -> None:
        self._hits = [_ASSUMED_WEIGHT * p for p in assumed]
        self._tries = [_ASSUMED_WEIGHT] * len(assumed)

    def learn(self, run: int, *, is_right: bool) -> None:
        """Take note of one token."""
        at = self._place(run)
        self._hits[at] += is_right
        self._tries[at] += 1
        if self._tries[at] > _MEMORY:
            self._hits[at] /= 2
            self._tries[at] /= 2

    def right(self, run: int) -> float:
        """Return the share of tokens that come as expected after ``run`` that did."""
        at = self._place(run)
        return self._hits[at] / self._tries[at]

    def _place(self, run: int) -> int:
        return min(_PLACES[min(run, _RUNS[-1])], len(self._hits) - 1)


@dataclass(frozen=True, slots=True)
class Offer:
    """What could be guessed for one sequence.

    Attributes:
        expected: Tokens that will be right of the first ``n``, at index ``n``; ascending.
        credit_s: Seconds that it may lose.
        token_s: Seconds that each guess takes beside the step.
    """

    expected: tuple[float, ...]
    credit_s: float = math.inf
    token_s: float = 0.0

    @property
    def n_most(self) -> int:
        """How many tokens can be guessed."""
        return len(self.expected) - 1


@dataclass(slots=True)
class Drafter:
    """The guesses of one sequence, and what came of them.

    Attributes:
        mode: ``auto``: where it pays.
        n_max: Most tokens guessed at a time; ``None``: as many as are good.
        n_drafted: Tokens guessed so far.
        n_accepted: Of them, right ones.
        saved_s: Seconds that this has saved, negative when it has cost.
    """

    mode: Speculate = "auto"
    n_max: int | None = None
    n_drafted: int = 0
    n_accepted: int = 0
    saved_s: float = 0.0
    odds: Odds = field(default_factory=Odds)
    model_odds: Odds = field(default_factory=lambda: Odds(_MODEL_ASSUMED))
    _lookup: Lookup | None = None
    _n_shifted: int = 0

    @property
    def n_most(self) -> int:
        """Most tokens to guess at a time."""
        n_usual = _ALWAYS if self.mode == "on" else MAX_GUESS
        return n_usual if self.n_max is None else min(self.n_max, MAX_GUESS)

    def follow(self, tokens: Seq[int], n_shifted: int = 0) -> None:
        """Read on in a text that has grown, or lost ``n_shifted`` tokens in all."""
        lookup = self._lookup
        if lookup is None or n_shifted != self._n_shifted:
            self._lookup, self._n_shifted = Lookup(tokens), n_shifted
            return
        for token in tokens[len(lookup) :]:
            run = lookup.run
            is_right = lookup.take(token)
            if is_right is not None:
                self.odds.learn(run, is_right=is_right)

    @property
    def run(self) -> int:
        """Tokens for which the text has agreed with an earlier place; 0: there is none."""
        return self._lookup.run if self._lookup else 0

    @property
    def is_sure(self) -> bool:
        """Whether that place is a better guide than a draft model."""
        return self.run >= _SURE

    def guess(self, n: int) -> list[int]:
        """Return the next ``n`` tokens as expected; none where nothing is."""
        return self._lookup.guess(n) if self._lookup else []

    def offer(self, n_most: int, credit_s: float, model_s: float | None = None) -> Offer:
        """Return what can be expected of a guess.

        Args:
            n_most: Most tokens to guess.
            credit_s: Seconds that it may lose.
            model_s: What each token takes the draft model that guesses; ``None``: looked up.
        """
        odds, run = (self.odds, self.run) if model_s is None else (self.model_odds, 0)
        expected, chance = [0.0], 1.0
        for i in range(n_most):
            chance *= odds.right(run + i)
            expected.append(expected[-1] + chance)
        return Offer(tuple(expected), credit_s, model_s or 0.0)

    def credit_s(self, n_generated: int, costs: StepCosts) -> float:
        """Return the seconds that wrong guesses may cost after ``n_generated`` tokens."""
        step_s = costs.seconds(1)
        n_steps = _CREDIT_STEPS + _CREDIT_RUN * self.run + _CREDIT_SHARE * n_generated
        return self.saved_s + step_s * n_steps

    def count(self, n_drafted: int, n_right: int, *, by_model: bool) -> None:
        """Take note of how many of the guessed tokens were right."""
        self.n_drafted += n_drafted
        self.n_accepted += n_right
        if by_model:
            for i in range(min(n_right + 1, n_drafted)):
                self.model_odds.learn(0, is_right=i < n_right)


def choose(
    offers: Seq[Offer], *, n_tokens: int, n_streams: int, n_room: int, costs: StepCosts
) -> list[int]:
    """Return how many tokens to guess for each offer, so that a step brings most tokens a second.

    No stream becomes slower than without guesses, but for ``_PACE``, nor waits long for a step; no
    sequence can lose more than its credit.

    Args:
        offers: Of some of the step's streams.
        n_tokens: In the step without guesses.
        n_streams: Sequences that draw a token in it.
        n_room: Most tokens that guesses may add.
        costs: What steps take.
    """
    best, best_rate = [0] * len(offers), 0.0
    base_s = costs.seconds(n_tokens)
    if len(offers) < n_streams and costs.seconds(n_tokens + 1) > base_s * _PACE:
        return best
    for size in _SIZES:
        sizes = [min(size, offer.n_most) for offer in offers]
        n_guessing = sum(n > 0 for n in sizes)
        if not n_guessing or sum(sizes) > n_room:
            continue
        own_s = sum(n * offer.token_s for n, offer in zip(sizes, offers, strict=True))
        step_s = costs.seconds(n_tokens + sum(sizes)) + own_s
        slower = step_s / base_s
        is_silent = n_guessing < n_streams  # somebody has only the slower step of it
        gains = [1 + offer.expected[n] for n, offer in zip(sizes, offers, strict=True) if n]
        credits = [offer.credit_s for n, offer in zip(sizes, offers, strict=True) if n]
        if is_silent and slower > _PACE:
            continue
        if step_s > max(_LONGEST_S, base_s * _LONGEST_STEPS):
            break  # larger ones take longer
        if min(gains) < slower * _MARGIN or min(credits) < (step_s - base_s) / n_guessing:
            continue
        rate = (sum(gains) + n_streams - n_guessing) / step_s
        if rate > best_rate:
            best, best_rate = sizes, rate
    return best

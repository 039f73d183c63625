"""Guesses for the streams of a step, and what came of them.

After the scheduler has planned a step, guessed tokens are put into what is left of it; after the
step, those that were not drawn leave the cache.  ``draft.py`` says what to guess and whether it
pays, ``answer.py`` draws, ``draft_model.py`` runs a small model that guesses.  Only models whose
state can be cut are guessed for.  Called from the loop thread only.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace

from runner.engine.backend import Backend
from runner.engine.chunks import Chunk
from runner.engine.costs import StepCosts
from runner.engine.draft import Drafter, Offer, choose
from runner.engine.draft_model import DraftModel
from runner.engine.plan import Plan
from runner.engine.prefix import n_common
from runner.engine.scheduler import Scheduler
from runner.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class _Asking:
    """A stream that can be guessed for: at most ``n_most`` tokens."""

    at: int
    seq: Sequence
    drafter: Drafter
    n_most: int
    by_model: bool


class Speculation:
    """Adds guesses to plans and takes back what was wrong.

    Attributes:
        costs: What steps without a prompt take, learned while somebody may guess.
    """

    def __init__(
        self, backend: Backend, scheduler: Scheduler, model: DraftModel | None = None
    ) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._model = model
        self._is_possible = backend.n_cold_max > 0
        self._is_on = False  # somebody in the step may guess
        self._pauses = False
        self.costs = StepCosts()
        self._by_model: set[Sequence] = set()
        self._draft_s = 0.0
        self._settled: list[tuple[Drafter, int]] = []  # and how many tokens were right
        self._n_sure = 0

    def extend(self, plan: Plan) -> Plan:
        """Return ``plan`` with guesses after the streams' own tokens, where there is room."""
        self._settled.clear()
        self._by_model.clear()
        self._draft_s = 0.0
        self._is_on = self._is_possible and any(chunk.seq.drafter for chunk in plan.chunks)
        if not self._is_on:
            return plan
        n_tokens = self._n_sure = sum(chunk.n for chunk in plan.chunks)
        if any(chunk.n > chunk.seq.n_last for chunk in plan.chunks):
            return plan  # a prompt is in it: ``pace.py`` has made the step as long as it may be
        if self._pauses:
            self._pauses = False
            return plan
        asking = self._asking(plan.chunks)
        if not asking:
            return plan
        n_room = min(self._scheduler.n_batch, self._scheduler.n_free) - n_tokens
        chunks = list(plan.chunks)
        for each, n in self._sizes(asking, plan.chunks, n_room):
            guess = self._guess(each, n)
            if guess:
                chunk = chunks[each.at]
                chunks[each.at] = replace(chunk, n=chunk.n + len(guess), guess=tuple(guess))
        return Plan(plan.effects, chunks)

    def pause(self, plan: Plan) -> bool:
        """A step found no room: leave guesses out of the next; whether there were any."""
        self._pauses = any(chunk.guess for chunk in plan.chunks)
        return self._pauses

    def settle(self, seq: Sequence) -> None:
        """Keep what was guessed right for ``seq`` in its cache, and free the rest."""
        guess = seq.guess
        if not guess:
            return
        n = n_common(seq.tokens[seq.n_computed :], guess)
        self._scheduler.confirm(seq, n)
        if n < len(guess):
            self._backend.cut(seq.seq_id, seq.n_computed)
        if seq.drafter is not None:
            seq.drafter.count(len(guess), n, by_model=seq in self._by_model)
            self._settled.append((seq.drafter, n))

    def learn(self, n_tokens: int, seconds: float) -> None:
        """Take note of what a step without a prompt took, and of what its guesses saved.

        Only while somebody may guess: else the costs are of no use to anyone.
        """
        if not self._is_on:
            return
        self.costs.learn(n_tokens, seconds)
        if not self._settled:
            return
        # What such steps take, not what this one took: no guess is to blame for a busy machine.
        base_s = self.costs.seconds(self._n_sure)
        extra_s = (self.costs.seconds(n_tokens) + self._draft_s - base_s) / len(self._settled)
        for drafter, n_right in self._settled:
            drafter.saved_s += n_right * base_s - extra_s

    def end(self, seq: Sequence) -> None:
        """A sequence ends, maybe within a step."""
        self.settle(seq)
        if self._model is not None:
            self._model.forget(seq)

    def _asking(self, chunks: Seq[Chunk]) -> list[_Asking]:
        found = []
        for at, chunk in enumerate(chunks):
            seq = chunk.seq
            drafter = seq.drafter
            if drafter is None or not chunk.draw or not seq.n_generated:
                continue
            drafter.follow(seq.tokens, seq.n_shifted)
            # The last token of an answer needs no guess, and none of a full context has a cell.
            n_open = seq.n_limit - len(seq.tokens)
            if seq.n_keep is not None:
                n_open = min(n_open, seq.n_draw_max - seq.n_generated)
            by_model = self._has_model_for(seq) and not drafter.is_sure
            n_most = min(drafter.n_most, n_open - 1)
            if n_most > 0 and (by_model or drafter.run):
                found.append(_Asking(at, seq, drafter, n_most, by_model))
        return found

    def _has_model_for(self, seq: Sequence) -> bool:
        return self._model is not None and len(seq.tokens) + 1 < self._model.n_ctx

    def _sizes(
        self, asking: list[_Asking], chunks: Seq[Chunk], n_room: int
    ) -> list[tuple[_Asking, int]]:
        """How many tokens to guess for each: as asked for, then where it pays."""
        sizes = []
        for each in asking:
            if each.drafter.mode == "on" and (n := min(each.n_most, n_room)) > 0:
                sizes.append((each, n))
                n_room -= n
        weighed = [each for each in asking if each.drafter.mode == "auto"]
        if weighed:
            chosen = choose(
                [self._offer(each) for each in weighed],
                n_tokens=self._n_sure + sum(n for _, n in sizes),
                n_streams=sum(chunk.draw for chunk in chunks),
                n_room=n_room,
                costs=self.costs,
            )
            sizes += [pair for pair in zip(weighed, chosen, strict=True) if pair[1]]
        return sizes

    def _offer(self, each: _Asking) -> Offer:
        drafter = each.drafter
        credit_s = drafter.credit_s(each.seq.n_generated, self.costs)
        model_s = None
        if each.by_model and self._model is not None:
            model_s = self._model.token_s or self.costs.seconds(1) * self._model.share
        return drafter.offer(each.n_most, credit_s, model_s)

    def _guess(self, each: _Asking, n: int) -> list[int]:
        if not each.by_model or self._model is None:
            return each.drafter.guess(n)
        tokens, seconds = self._model.guess(each.seq, n)
        self._draft_s += seconds
        self._by_model.add(each.seq)
        return tokens

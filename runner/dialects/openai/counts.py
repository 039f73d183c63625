"""Tokens and times of an answer: OpenAI's ``usage``, and what llama-server tells beside it.

That is ``timings``, and ``prompt_progress`` in a stream; a request asks for them with
``timings_per_token`` and ``return_progress``.  Pure.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runner.domain.event import Begun, Finished, Reached, Usage

_MS = 1000.0


class TimingsBody(msgspec.Struct):
    """Tokens and times of an answer so far, in milliseconds.

    ``cache_n`` and ``prompt_n`` are the prompt together; the rates are 0 where nothing took time.
    """

    cache_n: int
    prompt_n: int
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float


class ProgressBody(msgspec.Struct):
    """How much of a prompt is computed: ``cache`` of it had been before."""

    total: int
    cache: int
    processed: int
    time_ms: float


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return token counts as OpenAI shows them."""
    counts: dict[str, Any] = {
        "prompt_tokens": usage.n_prompt,
        "completion_tokens": usage.n_generated,
        "total_tokens": usage.n_prompt + usage.n_generated,
        "prompt_tokens_details": {"cached_tokens": usage.n_cached},
    }
    details = {"reasoning_tokens": usage.n_thought}
    if usage.n_drafted:
        details["accepted_prediction_tokens"] = usage.n_accepted
        details["rejected_prediction_tokens"] = usage.n_drafted - usage.n_accepted
    return counts | {"completion_tokens_details": details}


def timings(finished: Finished) -> TimingsBody:
    """Return what is told of an answer that has ended."""
    usage, times = finished.usage, finished.timings
    n_computed = usage.n_prompt - usage.n_cached
    return _timings(usage.n_cached, n_computed, times.prompt_s, usage.n_generated, times.decode_s)


class Speedometer:
    """Follows one of the answers of a stream."""

    def __init__(self) -> None:
        self._begun = Begun(0, 0)
        self._reached = Reached(0, 0, 0.0, 0.0)
        self._n_told = -1

    def begin(self, begun: Begun) -> ProgressBody:
        """Take the prompt; return what is told of it."""
        self._begun, self._n_told = begun, begun.n_cached
        return ProgressBody(begun.n_prompt, begun.n_cached, begun.n_cached, 0.0)

    def reach(self, reached: Reached) -> ProgressBody | None:
        """Take how far the answer is; return what is new of its prompt."""
        self._reached, begun = reached, self._begun
        if reached.n_computed <= self._n_told:  # a prompt that gave way is computed again
            return None
        self._n_told = reached.n_computed
        elapsed_ms = reached.prompt_s * _MS
        return ProgressBody(begun.n_prompt, begun.n_cached, reached.n_computed, elapsed_ms)

    @property
    def timings(self) -> TimingsBody:
        """What is told of the answer as far as it is."""
        begun, reached = self._begun, self._reached
        return _timings(
            begun.n_cached,
            max(0, reached.n_computed - begun.n_cached),
            reached.prompt_s,
            reached.n_generated,
            reached.decode_s,
        )


def _timings(
    n_cached: int, n_prompt: int, prompt_s: float, n_generated: int, decode_s: float
) -> TimingsBody:
    return TimingsBody(
        cache_n=n_cached,
        prompt_n=n_prompt,
        prompt_ms=prompt_s * _MS,
        prompt_per_token_ms=_share(prompt_s * _MS, n_prompt),
        prompt_per_second=_share(n_prompt, prompt_s),
        predicted_n=n_generated,
        predicted_ms=decode_s * _MS,
        predicted_per_token_ms=_share(decode_s * _MS, n_generated),
        predicted_per_second=_share(n_generated, decode_s),
    )


def _share(of: float, among: float) -> float:
    return of / among if among else 0.0

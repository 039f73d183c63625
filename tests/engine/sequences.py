"""Sequences for tests, with as little in them as the test needs."""

from __future__ import annotations

from runner.engine.detokenize import Detokenizer
from runner.engine.sequence import Sequence
from runner.engine.stop import StopMatcher


class NoSampler:
    """For tests that draw no tokens."""

    def draw(self, row: int) -> int:
        raise AssertionError(f"nobody asked for the token of row {row}")

    def close(self) -> None:
        pass


def new_sequence(
    request_id: str, n_prompt: int, n_limit: int, *, stop: tuple[str, ...] = ()
) -> Sequence:
    """A sequence whose prompt is ``n_prompt`` tokens."""
    tokens = list(range(n_prompt))
    return Sequence(
        request_id, tokens, n_prompt, n_limit, NoSampler(), Detokenizer(), StopMatcher(stop)
    )

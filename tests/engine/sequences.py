"""Sequences for tests, with as little in them as the test needs."""

from __future__ import annotations

from runner.domain.request import Priority, Terms
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
    request_id: str,
    n_prompt: int,
    n_limit: int,
    *,
    stop: tuple[str, ...] = (),
    priority: Priority = Priority.API,
    client: str = "",
    owner_id: str = "",
) -> Sequence:
    """A sequence whose prompt is ``n_prompt`` tokens."""
    return Sequence(
        request_id,
        list(range(n_prompt)),
        n_prompt,
        n_limit,
        NoSampler(),
        Detokenizer(),
        StopMatcher(stop),
        terms=Terms(priority, client),
        owner_id=owner_id,
    )

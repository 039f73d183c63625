"""The events of an answer put together, for calls that want it whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from runner.domain.event import Event, Finished, TextDelta, TokenLogprob
from runner.errors import WorkerError


@dataclass(slots=True)
class Reply:
    """One of the answers to a request, as far as it has come."""

    texts: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finished: Finished | None = None

    @property
    def text(self) -> str:
        """All of its text."""
        return "".join(self.texts)

    @property
    def end(self) -> Finished:
        """How it ended.

        Raises:
            WorkerError: It did not.
        """
        if self.finished is None:
            raise WorkerError("the answer was cut off before its end", hint="ask again")
        return self.finished


def replies(events: Iterable[Event], n: int) -> list[Reply]:
    """Return the ``n`` answers that ``events`` are."""
    found = [Reply() for _ in range(n)]
    for event in events:
        reply = found[event.choice]
        if isinstance(event, TextDelta):
            reply.texts.append(event.text)
            reply.logprobs += event.logprobs
        elif isinstance(event, Finished):
            reply.finished = event
    return found

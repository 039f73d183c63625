"""The requests that the daemon answers, and those that wait."""

from __future__ import annotations

from gui import figures
from gui.models.table import Column, Table
from gui.words import tr
from runner.domain.request import Priority
from runner.domain.running import RequestState, RunningRequest

_STATES = {
    RequestState.QUEUED: "Waiting",
    RequestState.PROMPT: "Reading the prompt",
    RequestState.GENERATING: "Answering",
}
_PRIORITIES = {
    Priority.INTERACTIVE: "Interactive",
    Priority.API: "API",
    Priority.BATCH: "Batch",
}


def state_text(request: RunningRequest) -> str:
    """Return how far a request is, with its place when it waits."""
    word = tr(_STATES[request.state])
    return f"{word} ({request.position})" if request.position else word


def request_table() -> Table[RunningRequest]:
    """Return an empty table of requests."""
    return Table[RunningRequest](
        (
            Column("Model", lambda r: str(r.model)),
            Column("State", state_text, lambda r: (r.position > 0, r.position, -r.seconds)),
            Column("Prompt", lambda r: figures.grouped(r.n_prompt), lambda r: r.n_prompt, True),
            Column("Cached", lambda r: figures.grouped(r.n_cached), lambda r: r.n_cached, True),
            Column(
                "Answer", lambda r: figures.grouped(r.n_generated), lambda r: r.n_generated, True
            ),
            Column("Time", lambda r: figures.left(r.seconds), lambda r: r.seconds, True),
            Column("Priority", lambda r: tr(_PRIORITIES[r.priority])),
            Column("Client", lambda r: r.client_id),
        ),
        key=lambda request: request.id,
    )

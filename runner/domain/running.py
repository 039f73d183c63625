"""Requests that are being answered or wait for it, for those who list or cancel them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runner.domain.name import ModelName
from runner.domain.request import Priority


class RequestState(StrEnum):
    """How far a request is."""

    QUEUED = "queued"  # for its model, for its turn, or again after it gave way to another
    PROMPT = "prompt"  # its prompt is being computed
    GENERATING = "generating"


@dataclass(frozen=True, slots=True)
class RunningRequest:
    """One line of the list.

    Attributes:
        id: Names it for cancelling.
        model: Who answers.
        state: How far it is.
        position: Its place among those that wait for the same model, 1 is next; 0: it runs.
        priority: Its class.
        client_id: Who asks.
        n_prompt: Tokens of its prompt; 0 before they are known.
        n_cached: Of them, taken from the cache.
        n_generated: Tokens drawn so far.
        started_at: When it arrived, in seconds since the epoch.
        seconds: For how long it has been here.
    """

    id: str
    model: ModelName
    state: RequestState
    position: int
    priority: Priority
    client_id: str
    n_prompt: int
    n_cached: int
    n_generated: int
    started_at: float
    seconds: float

"""Where requests stand, as who asks is told."""

from __future__ import annotations

from collections import deque

from runner.domain.running import RequestState
from runner.domain.vectors import Pooling
from runner.engine.embed import Item, Job
from runner.engine.grid import Grid
from runner.engine.report import inspected
from runner.engine.scheduler import Scheduler
from tests.engine.sequences import new_sequence
from tests.fakes.backend import FakeBackend


def job(name: str, started_s: float = 0.0) -> Job:
    made = Job(name, deque([Item([1, 2], 0), Item([3], 1)]), Pooling.LAST)
    made.started_s = started_s
    return made


def test_requests_for_vectors_that_have_begun_run_and_the_others_wait_in_order():
    told = inspected("q", Scheduler(8, 64, 2), [job("a", 1.0), job("b"), job("c")])
    assert told.request_id == "q"
    assert [(p.request_id, p.state, p.position, p.n_prompt) for p in told.places] == [
        ("a", RequestState.PROMPT, 0, 3),
        ("b", RequestState.QUEUED, 1, 3),
        ("c", RequestState.QUEUED, 2, 3),
    ]


def test_deterministic_requests_are_told_of_in_a_line_of_their_own():
    grid = Grid(FakeBackend(n_ctx=64, n_cells=64))
    for name in ("a", "b", "c"):
        grid.add(new_sequence(name, 4, 9))
    grid.admit()
    told = inspected("q", Scheduler(8, 64, 2), [], grid)
    assert [(p.request_id, p.state, p.position, p.n_prompt) for p in told.places] == [
        ("a", RequestState.PROMPT, 0, 4),
        ("b", RequestState.QUEUED, 1, 4),
        ("c", RequestState.QUEUED, 2, 4),
    ]

"""Where requests stand, as who asks is told."""

from __future__ import annotations

from collections import deque

from runner.domain.running import RequestState
from runner.domain.vectors import Pooling
from runner.engine.embed import Item, Job
from runner.engine.report import inspected
from runner.engine.scheduler import Scheduler


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

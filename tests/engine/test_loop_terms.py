"""The loop and the terms of requests: classes, deadlines, and where each request stands."""

import threading
from queue import SimpleQueue

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from runner.domain.event import FinishReason
from runner.domain.options import SamplingParams
from runner.domain.request import Priority, Terms
from runner.domain.running import RequestState
from runner.engine.backend import DecodeFailed, NoSlot
from runner.engine.deadlines import Deadline
from runner.protocol.messages import (
    Abort,
    Failed,
    Generate,
    Inspect,
    Inspected,
    Outcome,
    Place,
    Tokenize,
)
from tests.engine.running import Running
from tests.engine.test_loop import ON, VOCABULARY, check_answer
from tests.fakes.backend import FakeBackend, FakeVocabulary

INTERACTIVE, API, BATCH = Priority
#: More than any test's states take, in the fake's bytes.
PLENTY = 1_000_000


class Marking(FakeVocabulary):
    """Lets a decode step wait until what was sent during it is prepared and in the queue."""

    def __init__(self) -> None:
        super().__init__()
        self._marked = threading.Event()

    def tokenize(self, text, *, parse_special):
        if text == "mark":  # prepared in order: all that was sent before is delivered by now
            self._marked.set()
        return super().tokenize(text, parse_special=parse_special)

    def send(self, running: Running, *requests: Generate) -> None:
        for request in requests:
            running.send(request)
        running.send(Tokenize("mark", "mark"))
        assert self._marked.wait(60)


def ask(name, prompt, n, **terms):
    return Generate(name, ON, prompt=prompt, max_tokens=n, terms=Terms(**terms))


def test_one_that_gave_way_goes_on_where_it_was():
    """Every token is computed once, and its text is the one that it has alone."""
    n_seen = 0

    def note(chunks) -> None:
        nonlocal n_seen
        n_seen += 1
        if n_seen == 10:
            vocabulary.send(running, ask("chat", "b" * 20, 10, priority=INTERACTIVE))

    backend = FakeBackend(n_ctx=200, n_cells=400, n_seq_max=1, before_decode=note)
    batch = ask("batch", "a" * 40, 100, priority=BATCH)
    vocabulary = Marking()
    with Running(vocabulary, backend, n_host_bytes=PLENTY) as running:
        running.send(batch)
        chat_end, batch_end = running.ending("chat"), running.ending("batch")
        check_answer(running, batch, 200)
    order = list(running.endings)
    assert order.index("chat") < order.index("batch")
    assert isinstance(chat_end, Outcome)
    assert isinstance(batch_end, Outcome)
    assert backend.n_computed == 40 + 99 + 20 + 9
    assert len([m for m in running.sent if getattr(m, "request_id", "") == "batch"]) == 1
    backend.check_empty()


REQUESTS = st.lists(
    st.tuples(
        st.text("ab", min_size=1, max_size=40),
        st.integers(1, 30),
        st.sampled_from(Priority),
        st.sampled_from(["", "x", "y"]),
    ),
    min_size=2,
    max_size=10,
)
SIZES = st.fixed_dictionaries(
    {
        "n_ctx": st.just(80),
        "n_cells": st.integers(80, 160),
        "n_batch": st.integers(4, 24),
        "n_seq_max": st.integers(1, 4),
        "n_cold_max": st.integers(0, 2),
    }
)
HOST = st.sampled_from([0, 300, PLENTY])
FAULTS = st.lists(st.sampled_from([None, None, None, None, NoSlot, DecodeFailed]), max_size=30)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(REQUESTS, SIZES, HOST, FAULTS)
def test_whoever_gives_way_every_answer_is_the_one_it_has_alone(
    monkeypatch, requests, sizes, n_host_bytes, faults
):
    """With states saved, too large to save, or lost with a failed step."""
    monkeypatch.setattr("runner.engine.cache.WORTH_SAVING", 2)
    monkeypatch.setattr("runner.engine.scheduler.WORTH_SHARING", 2)
    monkeypatch.setattr("runner.engine.scheduler.WORTH_SAVING", 2)
    backend = FakeBackend(**sizes, faults=faults)
    with Running(VOCABULARY, backend, n_host_bytes=n_host_bytes) as running:
        sent = [
            ask(f"r{i}", prompt, n, priority=priority, client_id=client)
            for i, (prompt, n, priority, client) in enumerate(requests)
        ]
        for request in sent:
            running.send(request)
        for request in sent:
            if not isinstance(running.ending(request.request_id), Failed):
                check_answer(running, request, 80)
    backend.check_empty()
    assert backend.n_refused == 0


def test_a_deadline_ends_a_running_answer_with_an_error_and_frees_its_place():
    backend = FakeBackend(n_ctx=10**6, n_cells=2 * 10**6)
    with Running(VOCABULARY, backend) as running:
        failed = running.ask(ask("late", "a", None, deadline_s=0.05))
        assert isinstance(failed, Failed)
        assert failed.code == "deadline_exceeded"
        assert "tokens" in failed.message or "before the first token" in failed.message
        assert failed.hint
        assert isinstance(running.ask(ask("next", "b", 3)), Outcome)
    backend.check_empty()


def test_a_deadline_ends_one_that_waits():
    backend = FakeBackend(n_ctx=10**6, n_cells=10**6, n_seq_max=1)
    with Running(VOCABULARY, backend) as running:
        running.send(ask("runs", "a", None))
        failed = running.ask(ask("waits", "b", 3, deadline_s=0.02))
        assert isinstance(failed, Failed)
        assert failed.message == "the request's deadline passed before the first token"
        running.send(Abort("runs"))
        running.ending("runs")
    backend.check_empty()


def test_a_deadline_ends_one_that_is_still_being_prepared():
    """Its prompt comes later, and nothing more is heard of it; not even when it is aborted."""
    go = threading.Event()

    class Slow(FakeVocabulary):
        def tokenize(self, text, *, parse_special):
            assert go.wait(60)
            return super().tokenize(text, parse_special=parse_special)

    backend = FakeBackend()
    with Running(Slow(), backend) as running:
        failed = running.ask(ask("slow", "a", 3, deadline_s=0.02))
        assert isinstance(failed, Failed)
        assert failed.code == "deadline_exceeded"
        running.send(Abort("slow"))
        go.set()
        assert isinstance(running.ask(ask("next", "b", 3)), Outcome)
    backend.check_empty()


@pytest.mark.parametrize("deadline_s", [0.0, 1e-9])
def test_a_deadline_that_has_passed_on_the_way_computes_nothing(deadline_s):
    backend = FakeBackend()
    with Running(VOCABULARY, backend) as running:
        assert isinstance(running.ask(ask("late", "a", 3, deadline_s=deadline_s)), Failed)
        running.ask(Tokenize("last", "x"))
    assert backend.n_decodes == 0
    backend.check_empty()


def test_a_deadline_that_passes_before_its_request_is_queued_ends_it_all_the_same(monkeypatch):
    """The loop may look at deadlines while the thread that reads the pipe is put aside."""

    class Overtaken(SimpleQueue):
        def put(self, item):
            super().put(item)
            if isinstance(item, Deadline):
                super().put(Inspect("look"))
                running.ask_where("look")
                running.wait_until(lambda: not len(running.loop._deadlines))

    monkeypatch.setattr("runner.engine.loop.SimpleQueue", Overtaken)
    backend = FakeBackend()
    with Running(VOCABULARY, backend) as running:
        assert isinstance(running.ask(ask("late", "a", 3, deadline_s=0.0)), Failed)
        running.ask(Tokenize("last", "x"))  # prepared in order: the other one has arrived, too
    backend.check_empty()


def test_an_answer_in_time_hears_nothing_of_its_deadline():
    with Running(VOCABULARY, FakeBackend()) as running:
        for i, deadline_s in enumerate([1e9, 1e300, 60.0]):
            request = ask(f"r{i}", "abc", 5, deadline_s=deadline_s)
            outcome = running.ask(request)
            assert isinstance(outcome, Outcome)
            assert outcome.reason is FinishReason.LENGTH


def test_it_tells_where_each_request_stands():
    n_seen = 0

    def note(chunks) -> None:
        nonlocal n_seen
        n_seen += 1
        if n_seen == 5:
            vocabulary.send(
                running, ask("batch", "b" * 7, 3, priority=BATCH), ask("api", "c" * 6, 3)
            )
        if n_seen == 7:
            running.send(Inspect("where"))

    backend = FakeBackend(n_ctx=10**6, n_cells=10**6, n_seq_max=1, before_decode=note)
    vocabulary = Marking()
    with Running(vocabulary, backend) as running:
        running.send(ask("chat", "a" * 9, None, priority=INTERACTIVE))
        told = running.ask_where("where")
        running.send(Abort("chat"))
        running.ending("batch")
    assert told.places[0] == Place("chat", RequestState.GENERATING, 0, 9, 0, 7)
    assert told.places[1:] == (
        Place("api", RequestState.QUEUED, 1, 6, 0, 0),
        Place("batch", RequestState.QUEUED, 2, 7, 0, 0),
    )


def test_an_idle_engine_tells_that_nothing_runs():
    with Running(VOCABULARY, FakeBackend()) as running:
        running.send(Inspect("where"))
        assert running.ask_where("where") == Inspected("where", ())


def test_a_seed_is_no_reason_to_lose_a_state():
    """What may not share another's cells still gets its own back."""
    seeded = SamplingParams(seed=3, ignore_eos=True)
    n_seen = 0

    def note(chunks) -> None:
        nonlocal n_seen
        n_seen += 1
        if n_seen == 10:
            vocabulary.send(running, ask("chat", "a" * 20, 10, priority=INTERACTIVE))

    backend = FakeBackend(n_ctx=200, n_cells=400, n_seq_max=1, n_cold_max=1, before_decode=note)
    batch = Generate("batch", seeded, prompt="a" * 40, max_tokens=100, terms=Terms(priority=BATCH))
    vocabulary = Marking()
    with Running(vocabulary, backend, n_host_bytes=PLENTY) as running:
        running.send(batch)
        running.ending("batch")
        check_answer(running, batch, 200)
    n_shared = running.started["chat"].n_cached
    assert backend.n_computed == 40 + 99 + 20 + 9 - n_shared

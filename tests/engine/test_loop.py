"""The loop: each request ends exactly once, whatever happens, with the text it must have."""

import time

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from runner.domain.chat import Message as ChatMessage
from runner.domain.event import FinishReason
from runner.domain.options import SamplingParams
from runner.engine.backend import DecodeFailed, NoMemory, NoSlot
from runner.protocol.messages import Abort, Failed, Generate, Outcome, Step, Tokenize, Tokenized
from tests.engine.running import Running
from tests.fakes.backend import FakeBackend, FakeVocabulary, answer

ON = SamplingParams(ignore_eos=True)
VOCABULARY = FakeVocabulary()


def expected(request: Generate, n_ctx: int) -> tuple[str, list[int], str | None]:
    """The answer as it must be, by the fake's own rule and nothing of the engine's."""
    tokens = [*request.context, *VOCABULARY.tokenize(request.prompt or "", parse_special=True)]
    limit = min(request.n_ctx or n_ctx, n_ctx)
    if request.max_tokens is not None:
        limit = min(limit, len(tokens) + request.max_tokens)
    return answer(tokens, request.sampling, n_limit=limit, stop=request.stop)


def check_answer(running: Running, request: Generate, n_ctx: int) -> None:
    outcome = running.endings[request.request_id]
    assert isinstance(outcome, Outcome)
    text, tokens, hit = expected(request, n_ctx)
    assert running.texts[request.request_id] == text
    assert outcome.stop == hit
    assert outcome.tokens == (tuple(tokens) if request.wants_tokens else ())
    started = running.started[request.request_id]
    assert started.n_prompt + outcome.n_generated == len(tokens)
    assert outcome.prompt_s >= 0
    assert outcome.decode_s >= 0


REQUESTS = st.builds(
    Generate,
    st.just(""),
    st.builds(SamplingParams, seed=st.integers(0, 9), ignore_eos=st.booleans()),
    prompt=st.text("abc", max_size=40),
    context=st.lists(st.integers(0, 255), max_size=4).map(tuple),
    stop=st.lists(st.sampled_from(["END", "ab", "a\n", "é "]), max_size=2).map(tuple),
    n_ctx=st.sampled_from([0, 0, 12, 40]),
    max_tokens=st.none() | st.integers(0, 40),
    wants_tokens=st.booleans(),
    tells_progress=st.booleans(),
)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("generate"), REQUESTS),
        st.tuples(st.just("generate"), REQUESTS),
        st.tuples(st.just("tokenize"), st.text(max_size=5)),
        st.tuples(st.just("abort"), st.integers(0, 20)),
        st.tuples(st.just("steps"), st.integers(1, 12)),
    ),
    max_size=14,
)
SIZES = st.fixed_dictionaries(
    {
        "n_ctx": st.just(48),
        "n_cells": st.integers(48, 120),
        "n_batch": st.integers(4, 24),
        "n_seq_max": st.integers(1, 4),
        "n_cold_max": st.integers(0, 3),
    }
)
#: Prompts of few letters, so that many begin alike.
ALIKE = st.builds(
    Generate,
    st.just(""),
    st.just(ON),
    prompt=st.text("ab", min_size=1, max_size=40),
    max_tokens=st.integers(0, 12),
)
#: Bytes for states that left the cache: none, a few, plenty.
HOST = st.sampled_from([0, 400, 10_000])
FAULTS = st.lists(st.sampled_from([None, None, None, None, NoSlot, DecodeFailed]), max_size=30)


def play(running: Running, actions) -> list[Generate | Tokenize]:
    """Do as the script says; return the requests made."""
    requests: list[Generate | Tokenize] = []
    for i, (action, value) in enumerate(actions):
        if action == "generate":
            fields = {name: getattr(value, name) for name in Generate.__struct_fields__}
            requests.append(Generate(**fields | {"request_id": f"r{i}"}))
            running.send(requests[-1])
        elif action == "tokenize":
            requests.append(Tokenize(f"r{i}", value))
            running.send(requests[-1])
        elif action == "abort":
            running.send(Abort(f"r{value}"))
        else:
            n_wanted = running.n_steps + value
            running.wait(
                lambda n=n_wanted: (
                    running.n_steps >= n or all(r.request_id in running.endings for r in requests)
                )
            )
    return requests


@settings(max_examples=60)
@given(ACTIONS, SIZES, FAULTS)
def test_each_request_ends_exactly_once_and_is_not_named_again(actions, sizes, faults):
    """With steps that fail in between; what ends well has the text it must have."""
    backend = FakeBackend(**sizes, faults=faults)
    with Running(VOCABULARY, backend) as running:
        requests = play(running, actions)
        for request in requests:
            running.ending(request.request_id)
        running.ask(Tokenize("last", "x"))  # whatever else was still to be said comes before it
    assert set(running.endings) == {r.request_id for r in requests} | {"last"}
    backend.check_empty()
    assert backend.n_refused == 0
    for request in requests:
        ending = running.endings[request.request_id]
        if isinstance(request, Tokenize):
            assert isinstance(ending, Tokenized)
        elif isinstance(ending, Failed):
            assert ending.code in ("prompt_too_long", "invalid_request", "worker_failed")
            assert ending.message
        elif ending.reason is not FinishReason.ABORTED:
            check_answer(running, request, sizes["n_ctx"])
        else:
            text, _, _ = expected(request, sizes["n_ctx"])
            assert text.startswith(running.texts[request.request_id])


@settings(max_examples=30)
@given(st.lists(REQUESTS, min_size=1, max_size=10), SIZES)
def test_many_at_once_have_the_same_answers_as_each_alone(requests, sizes):
    """However cells and steps are shared, and whoever must give way."""
    backend = FakeBackend(**sizes)
    with Running(VOCABULARY, backend) as running:
        sent = play(running, [("generate", request) for request in requests])
        for request in sent:
            if not isinstance(running.ending(request.request_id), Failed):
                check_answer(running, request, sizes["n_ctx"])
    backend.check_empty()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ALIKE, min_size=2, max_size=12), SIZES, HOST, FAULTS)
def test_requests_that_begin_alike_have_the_answers_that_each_has_alone(
    monkeypatch, requests, sizes, n_host_bytes, faults
):
    """Whatever they take over from the cache or from host memory, and whatever fails."""
    monkeypatch.setattr("runner.engine.cache.WORTH_SAVING", 2)
    monkeypatch.setattr("runner.engine.scheduler.WORTH_SHARING", 2)
    monkeypatch.setattr("runner.engine.scheduler.WORTH_SAVING", 2)
    backend = FakeBackend(**sizes, faults=faults)
    with Running(VOCABULARY, backend, n_host_bytes=n_host_bytes) as running:
        for request in play(running, [("generate", request) for request in requests]):
            if not isinstance(running.ending(request.request_id), Failed):
                check_answer(running, request, sizes["n_ctx"])
                started = running.started[request.request_id]
                assert 0 <= started.n_cached < max(1, started.n_prompt)
    backend.check_empty()


def test_what_left_the_cache_comes_back_from_host_memory():
    """One sequence at a time and no room for cold ones: only host memory can have it."""
    prompts = ["a" * 100, "b" * 100]
    backend = FakeBackend(n_ctx=128, n_cells=128, n_seq_max=1, n_cold_max=1)
    with Running(VOCABULARY, backend, n_host_bytes=100_000) as running:
        for i, prompt in enumerate(prompts * 2):
            request = Generate(f"r{i}", ON, prompt=prompt + str(i), max_tokens=2)
            running.send(request)
            running.ending(request.request_id)
            check_answer(running, request, 128)
        assert [running.started[f"r{i}"].n_cached for i in range(4)] == [0, 0, 100, 100]


def test_two_requests_share_steps():
    """All of the second one's steps are steps of the first one, too."""
    backend = FakeBackend(n_ctx=10**6, n_cells=2 * 10**6)
    with Running(VOCABULARY, backend) as running:
        running.send(Generate("first", ON, prompt="a"))
        running.wait(lambda: "first" in running.texts)
        running.ask(Generate("second", ON, prompt="b", max_tokens=20))
        running.send(Abort("first"))
        outcome = running.ending("first")
        assert isinstance(outcome, Outcome)
        assert backend.n_shared == 20
        assert running.n_steps == backend.n_decodes <= outcome.n_generated + 1


def test_a_long_prompt_does_not_stall_a_running_stream():
    """While it is computed piece by piece, every step brings the stream its token."""
    steps: list[list[tuple[str, int]]] = []

    def note(chunks) -> None:
        steps.append([(chunk.seq.request_id, chunk.n) for chunk in chunks])
        if len(steps) == 5:
            running.send(Generate("long", ON, prompt="x" * 150, max_tokens=1))
            while backend.n_open_samplers < 2:  # until it is prepared, beside this thread
                time.sleep(0.001)

    backend = FakeBackend(n_ctx=10**6, n_cells=2 * 10**6, n_batch=16, before_decode=note)
    with Running(VOCABULARY, backend) as running:
        running.send(Generate("stream", ON, prompt="a"))
        running.ending("long")
        running.send(Abort("stream"))
        running.ending("stream")
    with_long = [dict(step) for step in steps if "long" in dict(step)]
    assert sum(step["long"] for step in with_long) == 150
    assert len(with_long) == 10
    assert all(step["stream"] == 1 for step in with_long)


def test_a_request_that_wants_it_hears_how_far_its_prompt_and_its_answer_are():
    with Running(VOCABULARY, FakeBackend(n_ctx=256, n_cells=512, n_batch=16)) as running:
        running.ask(Generate("plain", ON, prompt="x" * 40, max_tokens=3))
        running.ask(Generate("told", ON, prompt="y" * 40, max_tokens=3, tells_progress=True))
        deltas = [delta for step in running.sent if isinstance(step, Step) for delta in step.deltas]
    assert not any(delta.at for delta in deltas if delta.request_id == "plain")
    told = [delta.at for delta in deltas if delta.request_id == "told"]
    assert [at.n_computed for at in told if not at.n_generated] == [16, 32]
    assert all(at.n_computed == 40 for at in told if at.n_generated)
    assert told[-1].n_generated == 3
    assert [at.prompt_s for at in told] == sorted(at.prompt_s for at in told)


def test_a_request_that_asks_for_no_token_ends_at_once_without_text():
    backend = FakeBackend()
    with Running(VOCABULARY, backend) as running:
        outcome = running.ask(Generate("r", ON, prompt="abc", max_tokens=0, wants_tokens=True))
        assert isinstance(outcome, Outcome)
        assert (outcome.reason, outcome.n_generated) == (FinishReason.LENGTH, 0)
        assert outcome.tokens == tuple(b"abc")
        assert running.started["r"].n_prompt == 3
        assert running.texts["r"] == ""
    assert backend.n_decodes == 0
    backend.check_empty()


@pytest.mark.parametrize(
    ("n_prompt", "n_ctx", "fits"), [(63, 0, True), (64, 0, False), (65, 0, False), (64, 999, False)]
)
def test_a_prompt_must_leave_room_for_one_token(n_prompt, n_ctx, fits):
    with Running(VOCABULARY, FakeBackend(n_ctx=64)) as running:
        ending = running.ask(Generate("r", ON, prompt="x" * n_prompt, n_ctx=n_ctx))
        if fits:
            assert isinstance(ending, Outcome)
            assert (ending.reason, ending.n_generated) == (FinishReason.LENGTH, 1)
        else:
            assert isinstance(ending, Failed)
            assert ending.code == "prompt_too_long"
            assert str(n_prompt) in ending.message
            assert "64" in ending.message


def test_a_smaller_context_asked_for_is_the_limit():
    with Running(VOCABULARY, FakeBackend(n_ctx=64)) as running:
        ending = running.ask(Generate("r", ON, prompt="xxx", n_ctx=10))
        assert isinstance(ending, Outcome)
        assert (ending.reason, ending.n_generated) == (FinishReason.LENGTH, 7)


@pytest.mark.parametrize(("context", "shown"), [((-1,), "context"), ((10_000,), "context")])
def test_tokens_that_the_model_does_not_have_are_refused(context, shown):
    with Running(VOCABULARY, FakeBackend()) as running:
        ending = running.ask(Generate("r", ON, prompt="x", context=context))
        assert isinstance(ending, Failed)
        assert ending.code == "invalid_request"
        assert shown in ending.message


def test_a_prompt_without_tokens_is_refused():
    with Running(VOCABULARY, FakeBackend()) as running:
        for request in (Generate("r", ON, prompt=""), Generate("s", ON, messages=())):
            ending = running.ask(request)
            assert isinstance(ending, Failed)
            assert (ending.code, "empty" in ending.message) == ("invalid_request", True)


@pytest.mark.parametrize(
    ("fault", "code"), [(DecodeFailed, "worker_failed"), (NoMemory, "not_enough_memory")]
)
def test_a_failed_step_fails_its_requests_and_the_others_go_on(fault, code):
    """The step has room for one prompt at a time: the second waits for its turn, and gets it."""
    backend = FakeBackend(n_cells=64, faults=[None, None, fault])
    with Running(VOCABULARY, backend) as running:
        running.send(Generate("first", ON, prompt="x" * 30, max_tokens=30))
        second = Generate("second", ON, prompt="y" * 30, max_tokens=30)
        running.send(second)
        failed = running.ending("first")
        assert isinstance(failed, Failed)
        assert failed.code == code
        assert failed.hint
        running.ending("second")
        check_answer(running, second, 64)


def test_a_cache_that_refuses_every_shared_step_still_serves_one_at_a_time():
    refused = 0

    def alone(chunks) -> None:
        nonlocal refused
        if len(chunks) > 1:
            refused += 1
            raise NoSlot

    requests = [Generate(f"r{i}", ON, prompt="ab" * i, max_tokens=10) for i in range(1, 5)]
    with Running(VOCABULARY, FakeBackend(before_decode=alone)) as running:
        for request in requests:
            running.send(request)
        for request in requests:
            running.ending(request.request_id)
            check_answer(running, request, 128)
    assert refused <= 12


def test_a_request_the_cache_refuses_even_alone_fails_and_leaves_the_place_to_others():
    backend = FakeBackend(faults=[NoSlot])
    with Running(VOCABULARY, backend) as running:
        failed = running.ask(Generate("r", ON, prompt="abc", max_tokens=4))
        assert isinstance(failed, Failed)
        assert "3 tokens" in failed.message
        assert isinstance(running.ask(Generate("s", ON, prompt="abc", max_tokens=4)), Outcome)
    backend.check_empty()


def test_an_abort_frees_the_sequence_within_one_step():
    aborted_at: list[int] = []
    seen: list[list[str]] = []

    def note(chunks) -> None:
        seen.append([chunk.seq.request_id for chunk in chunks])
        if len(seen) == 10:
            running.send(Abort("leaves"))
            aborted_at.append(len(seen))

    backend = FakeBackend(n_ctx=1000, n_cells=2000, before_decode=note)
    with Running(VOCABULARY, backend) as running:
        running.send(Generate("leaves", ON, prompt="a"))
        outcome = running.ending("leaves")
        assert isinstance(outcome, Outcome)
        assert outcome.reason is FinishReason.ABORTED
        running.ask(Generate("next", ON, prompt="b", max_tokens=3))
    assert len([step for step in seen if "leaves" in step]) == 10
    backend.check_empty()


def test_aborting_what_has_ended_or_never_was_says_nothing():
    with Running(VOCABULARY, FakeBackend()) as running:
        running.ask(Generate("r", ON, prompt="a", max_tokens=3))
        n_sent = len(running.sent)
        running.send(Abort("r"))
        running.send(Abort("never"))
        running.ask(Tokenize("last", "x"))
        assert len(running.sent) == n_sent + 1


def test_a_waiting_request_can_be_aborted():
    backend = FakeBackend(n_seq_max=1, n_ctx=500, n_cells=500)
    with Running(VOCABULARY, backend) as running:
        running.send(Generate("running", ON, prompt="a"))
        running.send(Generate("waiting", ON, prompt="b"))
        running.send(Tokenize("mark", "x"))
        running.ending("mark")  # prepared in order: the other one is in the queue by now
        running.send(Abort("waiting"))
        outcome = running.ending("waiting")
        assert isinstance(outcome, Outcome)
        if outcome.reason is FinishReason.ABORTED:
            assert outcome.n_generated == 0
        running.send(Abort("running"))
        running.ending("running")
    backend.check_empty()


def test_a_shutdown_ends_the_loop_in_the_middle_of_an_answer():
    backend = FakeBackend(n_ctx=10**6, n_cells=10**6)
    with Running(VOCABULARY, backend) as running:
        running.send(Generate("r", ON, prompt="a"))
        running.wait(lambda: running.n_steps > 3)
    assert running.has_ended
    assert "r" not in running.endings


def test_a_message_that_is_not_for_a_worker_changes_nothing(caplog):
    with Running(VOCABULARY, FakeBackend()) as running:
        running.send(Tokenized("x", ()))
        assert isinstance(running.ask(Tokenize("r", "ab")), Tokenized)
    assert "unexpected message kind=Tokenized" in caplog.text


def test_control_tokens_are_parsed_in_raw_prompts_and_nowhere_else():
    with Running(FakeVocabulary("{{ messages[0].content }}<end>"), FakeBackend()) as running:
        raw = running.ask(Generate("raw", ON, prompt="a<end>", max_tokens=0, wants_tokens=True))
        chat = running.ask(
            Generate(
                "chat",
                ON,
                messages=(ChatMessage("user", "a<end>"),),
                max_tokens=0,
                wants_tokens=True,
            )
        )
        plain = running.ask(Tokenize("plain", "<end>"))
        special = running.ask(Tokenize("special", "<end>", parse_special=True))
    assert isinstance(raw, Outcome)
    assert raw.tokens == (*b"a", 256)
    assert isinstance(chat, Outcome)
    assert chat.tokens == (*b"a<end>", 256)
    assert isinstance(plain, Tokenized)
    assert plain.tokens == tuple(b"<end>")
    assert isinstance(special, Tokenized)
    assert special.tokens == (256,)


def test_numbers_that_are_none_fail_their_request_and_no_other():
    backend = FakeBackend(n_cold_max=1)
    backend.unsound.add("bad")
    with Running(VOCABULARY, backend) as running:
        for name in ("well", "bad", "fine"):
            running.send(Generate(name, ON, prompt=name, max_tokens=20))
        ending = running.ending("bad")
        assert isinstance(ending, Failed)
        assert (ending.code, "NaN" in ending.message, bool(ending.hint)) == (
            "worker_failed",
            True,
            True,
        )
        for name in ("well", "fine"):
            running.ending(name)
            check_answer(running, Generate(name, ON, prompt=name, max_tokens=20), 64)
    backend.check_empty()


def test_steps_tell_what_they_cost_outside_the_decode_call():
    with Running(VOCABULARY, FakeBackend()) as running:
        running.ask(Generate("r", ON, prompt="abc", max_tokens=20))
        costs = [step.n_host_us for step in running.sent if isinstance(step, Step)]
    assert costs == sorted(costs)
    assert costs[-1] > 0

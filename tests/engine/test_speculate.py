"""Speculation in the loop: the answer is the one without, whatever was guessed."""

from hypothesis import given, settings, strategies as st

from runner.domain.options import SamplingParams
from runner.domain.request import AdapterUse
from runner.engine.backend import NoSlot
from runner.protocol.messages import Abort, Generate, Outcome
from tests.engine.running import Running
from tests.fakes.backend import FakeBackend, FakeVocabulary, answer

VOCABULARY = FakeVocabulary()
#: Few tokens say what comes next: the fake repeats itself, but not for ever.
REQUESTS = st.lists(
    st.builds(
        Generate,
        st.just(""),
        st.builds(SamplingParams, seed=st.integers(0, 9), ignore_eos=st.booleans()),
        prompt=st.text("ab", min_size=1, max_size=20),
        stop=st.lists(st.sampled_from(["END", "ab", "a\n", "é "]), max_size=1).map(tuple),
        max_tokens=st.none() | st.integers(1, 60),
        wants_tokens=st.just(True),
        speculate=st.sampled_from(["on", "on", "auto", "off"]),
        n_draft_max=st.none() | st.integers(0, 40),
        adapters=st.sampled_from([None, None, (), (AdapterUse(0, 1.0),)]),
    ),
    min_size=1,
    max_size=6,
)


def check(running: Running, request: Generate, memory: int, n_ctx: int) -> Outcome:
    """Assert that an answer is what the fake says without any engine."""
    tokens = VOCABULARY.tokenize(request.prompt or "", parse_special=True)
    limit = n_ctx if request.max_tokens is None else min(n_ctx, len(tokens) + request.max_tokens)
    text, known, hit = answer(
        tokens, request.sampling, n_limit=limit, stop=request.stop, memory=memory
    )
    outcome = running.endings[request.request_id]
    assert isinstance(outcome, Outcome)
    assert running.texts.get(request.request_id, "") == text
    assert outcome.tokens == tuple(known)
    assert outcome.stop == hit
    assert 0 <= outcome.n_accepted <= outcome.n_drafted
    return outcome


@settings(max_examples=60, deadline=None)
@given(
    REQUESTS,
    st.integers(1, 3),
    st.fixed_dictionaries(
        {
            "n_cells": st.integers(96, 300),
            "n_batch": st.integers(4, 40),
            "n_seq_max": st.integers(1, 4),
            "n_cold_max": st.integers(0, 2),
        }
    ),
    st.lists(st.booleans(), max_size=8),
)
def test_answers_are_those_without_guesses(requests, memory, sizes, refusals):
    """Accepted, rejected or refused a cell: text, tokens and ends are those of the fake's rule."""
    refused = iter(refusals)

    def before_decode(chunks):
        if any(chunk.guess for chunk in chunks) and next(refused, False):
            raise NoSlot

    backend = FakeBackend(
        n_ctx=96, memory=memory, before_decode=before_decode, n_adapters=1, **sizes
    )
    with Running(VOCABULARY, backend) as running:
        asked = [
            Generate(**{f: getattr(r, f) for f in r.__struct_fields__} | {"request_id": f"r{i}"})
            for i, r in enumerate(requests)
        ]
        for request in asked:
            running.send(request)
        for request in asked:
            running.ending(request.request_id)
            outcome = check(running, request, memory, 96)
            if request.speculate == "off" or not backend.n_cold_max or request.n_draft_max == 0:
                assert outcome.n_drafted == 0
    backend.check_empty()


def test_a_text_that_repeats_itself_takes_few_steps():
    """Where nearly every guess is right, a step brings many tokens."""
    request = Generate(
        "r",
        SamplingParams(ignore_eos=True),
        prompt="a",
        max_tokens=200,
        wants_tokens=True,
        speculate="on",
    )
    backend = FakeBackend(n_ctx=256, n_cells=512, n_batch=64, n_cold_max=1, memory=1)
    with Running(VOCABULARY, backend) as running:
        running.ask(request)
        outcome = check(running, request, 1, 256)
    assert outcome.n_generated == 200
    assert outcome.n_accepted > 160
    assert backend.n_decodes < 60


def test_a_step_with_a_prompt_in_it_is_not_made_longer():
    """It is as long already as a stream beside it may have to wait."""
    kinds = set()

    def before_decode(chunks):
        has_guess = any(chunk.guess for chunk in chunks)
        has_prompt = any(chunk.start < chunk.seq.n_prompt - 1 for chunk in chunks)
        kinds.add((has_guess, has_prompt, len(chunks)))

    backend = FakeBackend(
        n_ctx=4096, n_cells=8192, n_batch=64, n_cold_max=1, memory=1, before_decode=before_decode
    )
    on = SamplingParams(ignore_eos=True)
    with Running(VOCABULARY, backend) as running:
        running.send(Generate("stream", on, prompt="a", speculate="on"))
        running.wait(lambda: len(running.texts.get("stream", "")) > 50)
        running.ask(Generate("long", on, prompt="ab" * 1000, max_tokens=3, speculate="on"))
        running.send(Abort("stream"))
        running.ending("stream")
    assert (True, False, 1) in kinds
    assert (False, True, 2) in kinds
    assert not any(has_guess and has_prompt for has_guess, has_prompt, _ in kinds)


def test_what_was_guessed_wrong_is_not_shared():
    """The next request starts from the tokens of the answer, not from guesses."""
    first = Generate(
        "first",
        SamplingParams(ignore_eos=True, seed=1),
        prompt="ab" * 10,
        max_tokens=30,
        wants_tokens=True,
        speculate="on",
    )
    backend = FakeBackend(n_ctx=128, n_cells=256, n_batch=64, n_cold_max=1, memory=2)
    with Running(VOCABULARY, backend) as running:
        running.ask(first)
        tokens = check(running, first, 2, 128).tokens
        ask = Generate("second", SamplingParams(), prompt="", context=tokens, max_tokens=3)
        running.ask(ask)
        assert running.started["second"].n_cached in (len(tokens) - 1, len(tokens) - 2)


def test_an_aborted_answer_leaves_nothing():
    """A sequence that is guessed for can be given up at any time."""
    backend = FakeBackend(n_ctx=4096, n_cells=8192, n_batch=64, n_cold_max=1, memory=1)
    on = SamplingParams(ignore_eos=True)
    with Running(VOCABULARY, backend) as running:
        running.send(Generate("r", on, prompt="a", speculate="on"))
        running.wait(lambda: bool(running.texts.get("r")))
        running.send(Abort("r"))
        running.ending("r")
    backend.check_empty()


def test_failing_draws_fail_one_request_only():
    """Logits that are no numbers end their request; the other one's guesses go on."""
    on = SamplingParams(ignore_eos=True)
    backend = FakeBackend(n_ctx=256, n_cells=512, n_batch=64, n_cold_max=1, memory=1)
    backend.unsound = {"bad"}
    good = Generate("good", on, prompt="a", max_tokens=80, wants_tokens=True, speculate="on")
    with Running(VOCABULARY, backend) as running:
        running.send(good)
        running.send(Generate("bad", on, prompt="b", max_tokens=80, speculate="on"))
        assert not isinstance(running.ending("bad"), Outcome)
        running.ending("good")
        check(running, good, 1, 256)
    backend.check_empty()


def test_a_seed_is_not_guessed_for_unless_asked():
    """Its numbers would hang on the clock."""
    sampling = SamplingParams(ignore_eos=True, seed=5)
    request = Generate("r", sampling, prompt="a", max_tokens=100, speculate="auto")
    backend = FakeBackend(n_ctx=256, n_cells=512, n_batch=64, n_cold_max=1, memory=1)
    with Running(VOCABULARY, backend) as running:
        outcome = running.ask(request)
    assert isinstance(outcome, Outcome)
    assert outcome.n_drafted == 0


def test_streams_with_other_adapters_are_guessed_for_in_steps_of_their_own():
    """The fake refuses a step, and a sequence, of two sets."""
    backend = FakeBackend(n_ctx=256, n_cells=1024, n_batch=64, n_cold_max=1, memory=1, n_adapters=1)
    sets = {"plain": (), "half": (AdapterUse(0, 0.5),), "whole": (AdapterUse(0, 1.0),)}
    sampling = SamplingParams(ignore_eos=True)
    with Running(VOCABULARY, backend) as running:
        asked = [
            Generate(
                name,
                sampling,
                prompt="a",
                max_tokens=100,
                wants_tokens=True,
                speculate="on",
                adapters=adapters,
            )
            for name, adapters in sets.items()
        ]
        for request in asked:
            running.send(request)
        for request in asked:
            running.ending(request.request_id)
            assert check(running, request, 1, 256).n_accepted > 50
    backend.check_empty()

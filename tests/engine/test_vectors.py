"""Embedding and reranking through the loop, beside streams, with a model without weights."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from runner.domain.options import SamplingParams
from runner.domain.request import Terms
from runner.domain.running import RequestState
from runner.domain.vectors import Pooling
from runner.engine.backend import DecodeFailed, EmbeddingFacts, NoMemory
from runner.engine.embed import normalized
from runner.protocol.messages import (
    Abort,
    Embed,
    Embedded,
    Failed,
    Generate,
    Inspect,
    Outcome,
    Rerank,
)
from tests.engine.running import Running
from tests.fakes.backend import (
    CAUSAL,
    CONTROL,
    EOG,
    FakeBackend,
    FakeVocabulary,
    answer,
    token_vectors,
)

ENCODER = EmbeddingFacts(Pooling.MEAN, 4, is_causal=False)
RANKER = EmbeddingFacts(Pooling.RANK, 4, is_causal=False)
ON = SamplingParams(temperature=0, ignore_eos=True, seed=1)


def started(facts: EmbeddingFacts = CAUSAL, **more) -> Running:
    return Running(FakeVocabulary(), FakeBackend(n_ctx=30, embedding=facts, **more))


def framed(text: str) -> list[int]:
    return [CONTROL, *text.encode(), EOG]


def rows(found) -> list[np.ndarray]:
    assert isinstance(found, Embedded), found
    return [np.frombuffer(raw, "<f4").reshape(-1, found.n_dimensions) for raw in found.vectors]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.text("abc<end>", max_size=20), min_size=1, max_size=8),
    st.sampled_from([CAUSAL, ENCODER]),
)
def test_each_text_gets_its_own_vector(texts, facts):
    with started(facts) as running:
        found = running.ask(Embed("r", tuple(texts)))
    for text, vectors in zip(texts, rows(found), strict=True):
        of_tokens = token_vectors(framed(text), facts)
        wanted = of_tokens[-1:] if facts is CAUSAL else of_tokens.mean(axis=0, keepdims=True)
        np.testing.assert_allclose(vectors, normalized(wanted), atol=1e-5)
    assert found.n_tokens == tuple(len(framed(text)) for text in texts)


def test_a_control_token_in_a_text_is_text():
    with started() as running:
        found = running.ask(Embed("r", ("<end>",)))
    assert found.n_tokens == (7,)


def test_tokens_are_taken_as_they_are():
    with started() as running:
        found = running.ask(Embed("r", ((97, 98), "a"), normalizes=False))
    np.testing.assert_array_equal(rows(found)[0], token_vectors([97, 98], CAUSAL)[-1:])
    assert found.n_tokens == (2, 3)


def test_a_request_may_choose_its_pooling():
    with started() as running:
        found = running.ask(Embed("r", ("abc",), pooling=Pooling.NONE, normalizes=False))
    assert not found.is_pooled
    np.testing.assert_array_equal(rows(found)[0], token_vectors(framed("abc"), CAUSAL))


def test_a_long_text_is_cut_but_keeps_its_end_and_the_answer_says_so():
    with started() as running:
        found = running.ask(Embed("r", ("short", "x" * 100)))
    assert (found.truncated, found.n_tokens) == ((1,), (7, 30))
    cut = [CONTROL, *b"x" * 28, EOG]
    np.testing.assert_allclose(rows(found)[1], normalized(token_vectors(cut, CAUSAL)[-1:]))


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (Embed("r", ("x" * 100,), truncates=False), "prompt_too_long", "input[0] has 102 tokens"),
        (Embed("r", ("a", "x" * 9), n_ctx=10, truncates=False), "prompt_too_long", "holds 10"),
        (Embed("r", ("abc",), n_ctx=2), "prompt_too_long", "input after truncation exceeds"),
        (Embed("r", ((),)), "invalid_request", "input[0] is empty"),
        (Embed("r", ("a", (5, 10**6))), "invalid_request", "input[1]: tokens must be in"),
        (Embed("r", ("a",), n_dimensions=5), "invalid_request", "dimensions must be in [1, 4]"),
        (Rerank("r", "q", ("d",)), "unsupported", "does not score"),
    ],
)
def test_what_cannot_be_embedded_is_refused_with_the_reason(request_, code, words):
    with started() as running:
        failed = running.ask(request_)
    assert isinstance(failed, Failed)
    assert failed.code == code
    assert words in failed.message


def test_a_stream_beside_it_says_what_it_says_alone():
    prompt = "a prompt"
    tokens = list(prompt.encode())
    expected, _, _ = answer(tokens, ON, n_limit=len(tokens) + 20)
    with started() as running:
        running.send(Generate("g", ON, prompt=prompt, max_tokens=20))
        found = running.ask(Embed("e", tuple("abcdefgh" * 3 for _ in range(40))))
        outcome = running.ending("g")
    assert len(rows(found)) == 40
    assert isinstance(outcome, Outcome)
    assert running.texts["g"] == expected


def test_a_stream_has_steps_between_those_of_a_long_embedding():
    """The loop alternates: never two embedding steps without a step of the stream."""
    order: list[str] = []
    backend = FakeBackend(n_ctx=60, before_decode=lambda _: order.append("stream"))
    compute = backend.vectors.compute

    def noted(pieces):
        order.append("vectors")
        return compute(pieces)

    backend.vectors.compute = noted
    with Running(FakeVocabulary(), backend) as running:
        running.send(Embed("e", tuple("abcdefgh" for _ in range(60))))
        running.send(Generate("g", ON, prompt="hello", max_tokens=20))
        running.ending("g")
        running.ending("e")
    first, last = order.index("stream"), len(order) - 1 - order[::-1].index("stream")
    beside = order[first : last + 1]
    assert "vectors" in beside
    assert all(pair != ("vectors", "vectors") for pair in itertools.pairwise(beside))


def test_an_aborted_embedding_ends_once_and_leaves_nothing():
    backend = FakeBackend(n_ctx=30)
    with Running(FakeVocabulary(), backend) as running:
        running.send(Embed("e", tuple("abcdefghijkl" for _ in range(2000))))
        running.send(Abort("e"))
        assert isinstance(running.ending("e"), Failed)
        assert isinstance(running.ask(Embed("f", ("x",))), Embedded)
    backend.vectors.check_empty()


def test_a_deadline_ends_an_embedding_and_leaves_nothing():
    backend = FakeBackend(n_ctx=30)
    with Running(FakeVocabulary(), backend) as running:
        many = tuple("abcdefghijkl" for _ in range(20_000))
        failed = running.ask(Embed("e", many, terms=Terms(deadline_s=1e-6)))
        assert isinstance(failed, Failed)
        assert failed.code == "deadline_exceeded"
        kept = running.ask(Embed("f", ("x",), terms=Terms(deadline_s=1000.0)))
        assert isinstance(kept, Embedded)
        assert not running.loop._deadlines, "what has ended is watched no more"
    backend.vectors.check_empty()


def test_a_deadline_ends_an_embedding_that_is_computed():
    """The first step lasts until the deadline has passed."""
    backend = FakeBackend(n_ctx=30)
    compute, began = backend.vectors.compute, time.monotonic()
    running = Running(FakeVocabulary(), backend)

    def slow(pieces):
        running.wait_until(lambda: time.monotonic() > began + 0.3)
        return compute(pieces)

    backend.vectors.compute = slow
    with running:
        failed = running.ask(Embed("e", ("a" * 20,) * 9, terms=Terms(deadline_s=0.1)))
        assert isinstance(failed, Failed)
        assert failed.code == "deadline_exceeded"
        assert isinstance(running.ask(Embed("f", ("abc",))), Embedded)
    backend.vectors.check_empty()


def test_who_asks_hears_of_vectors_too():
    backend = FakeBackend(n_ctx=30)
    compute, running = backend.vectors.compute, Running(FakeVocabulary(), backend)

    def asking(pieces):
        if len(backend.vectors.steps) == 1:
            running.send(Inspect("where"))
        return compute(pieces)

    backend.vectors.compute = asking
    with running:
        running.send(Embed("first", tuple("abcdefghijkl" for _ in range(500))))
        (place,) = running.ask_where("where").places
        running.ending("first")
    assert (place.request_id, place.state, place.position) == ("first", RequestState.PROMPT, 0)
    assert (place.n_prompt, place.n_cached, place.n_generated) == (500 * 14, 0, 0)


@pytest.mark.parametrize(
    ("fault", "code"), [(DecodeFailed, "worker_failed"), (NoMemory, "not_enough_memory")]
)
def test_a_step_that_fails_fails_its_requests_and_the_next_one_works(fault, code):
    backend = FakeBackend(n_ctx=30, faults=[fault])
    with Running(FakeVocabulary(), backend) as running:
        failed = running.ask(Embed("e", ("abc", "x" * 100)))
        assert isinstance(failed, Failed)
        assert failed.code == code
        assert isinstance(running.ask(Embed("f", ("x",))), Embedded)


def test_a_vector_that_is_no_number_fails_by_its_name():
    backend = FakeBackend(n_ctx=30)
    backend.vectors.compute = lambda pieces: [np.full((p.n, 4), np.nan, np.float32) for p in pieces]
    with Running(FakeVocabulary(), backend) as running:
        failed = running.ask(Embed("e", ("abc",)))
    assert isinstance(failed, Failed)
    assert "NaN" in failed.message


def test_a_reranker_scores_the_pair_and_embeds_nothing():
    with started(RANKER) as running:
        found = running.ask(Rerank("r", "q", ("abc", "d")))
        assert [vectors.tolist() for vectors in rows(found)] == [
            [[float(sum([CONTROL, *b"q", EOG, *b"abc", EOG]))]],
            [[float(sum([CONTROL, *b"q", EOG, *b"d", EOG]))]],
        ]
        failed = running.ask(Embed("e", ("abc",)))
    assert isinstance(failed, Failed)
    assert failed.code == "unsupported"


def test_a_pair_that_is_too_long_loses_the_end_of_its_document():
    with started(RANKER) as running:
        found = running.ask(Rerank("r", "query", ("d" * 50, "d")))
        assert (found.truncated, found.n_tokens) == ((0,), (30, 9))
        assert rows(found)[0].item() == sum([CONTROL, *b"query", EOG, *b"d" * 22, EOG])
        failed = running.ask(Rerank("f", "q" * 40, ("d",)))
    assert isinstance(failed, Failed)
    assert failed.code == "prompt_too_long"


def test_a_template_for_pairs_is_followed_and_its_fields_are_text():
    vocabulary = FakeVocabulary()
    vocabulary.rank_template = "<control>{query}|{document}<end>"
    with Running(vocabulary, FakeBackend(n_ctx=30, embedding=RANKER)) as running:
        found = running.ask(Rerank("r", "<end>", ("d{query}",)))
    assert rows(found)[0].item() == sum([CONTROL, *b"<end>|d{query}", EOG])


@pytest.mark.live
def test_the_real_engine_streams_the_same_beside_an_embedding(starter):
    """And each vector is the one that its text has alone, in pieces or not."""
    prompt = "Count: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,"
    greedy = SamplingParams(temperature=0, ignore_eos=True)
    texts = ("A cat sat on the mat.", "long " * 200, "Stock prices fell.", "x")
    starter.clear()
    with Running(starter.model, starter) as running:
        running.ask(Generate("alone", greedy, prompt=prompt, max_tokens=30))
        alone = [rows(running.ask(Embed(f"e{i}", (text,))))[0] for i, text in enumerate(texts)]
        running.send(Generate("beside", greedy, prompt=prompt, max_tokens=30))
        together = rows(running.ask(Embed("e", texts)))
        running.ending("beside")
        assert running.texts["beside"] == running.texts["alone"]
    starter.clear()
    for one, other in zip(alone, together, strict=True):
        assert (one @ other.T).item() > 0.999  # a batch of another shape rounds otherwise

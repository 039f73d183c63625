"""Prompts through all tiers, by a whole loop: what is kept, for whom, and answers stay right."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from runner.domain.options import SamplingParams
from runner.domain.request import AdapterUse, CacheUse, Terms
from runner.engine import cache as cache_module
from runner.engine.disk import DiskTier
from runner.kv.key import CacheKey
from runner.kv.shelf import Shelf
from runner.protocol.messages import AskCache, ClearCache, Failed, Generate
from tests.engine.running import Running
from tests.fakes.backend import FakeBackend, FakeVocabulary, answer

VOCABULARY = FakeVocabulary()
ON = SamplingParams(temperature=0, ignore_eos=True)
N_CTX = 600
KEY = CacheKey("sha256:ab", "build")
A, B = "a" * 300, "b" * 300


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.setattr(Shelf, "disk_is_low", lambda self, n_bytes: False)
    return Shelf(tmp_path / "kv")


def life(shelf, *, n_host_bytes=1 << 20, n_cold_max=1, n_cells=2 * N_CTX, **sizes):
    """A worker's life on ``shelf``; a context manager."""
    backend = FakeBackend(n_ctx=N_CTX, n_cells=n_cells, n_cold_max=n_cold_max, **sizes)
    disk = DiskTier(shelf, KEY, n_bytes_max=1 << 30, n_pending_max=1 << 30)
    return Running(VOCABULARY, backend, n_host_bytes=n_host_bytes, disk=disk)


def ask(
    running, name, prompt, *, owner="", cache=CacheUse.DISK, seed=None, n=2, adapters=None, talk=""
):
    """Ask, check the answer against a run without any engine, and return what was started."""
    params = SamplingParams(temperature=1 if seed is not None else 0, seed=seed, ignore_eos=True)
    terms = Terms(owner_id=owner, cache=cache, conversation_id=talk)
    request = Generate(name, params, prompt=prompt, max_tokens=n, terms=terms, adapters=adapters)
    ending = running.ask(request)
    assert not isinstance(ending, Failed)
    check(running, request)
    return running.started[name]


def check(running, request):
    tokens = VOCABULARY.tokenize(request.prompt, parse_special=True)
    n_limit = min(N_CTX, len(tokens) + request.max_tokens)
    expected, _, _ = answer(tokens, request.sampling, n_limit=n_limit)
    assert running.texts[request.request_id] == expected


def test_a_prompt_outlives_its_worker(shelf):
    with life(shelf) as running:
        assert ask(running, "r", A).n_cached == 0
    with life(shelf) as running:
        started = ask(running, "r", A)
        assert (started.n_cached, started.n_diverged) == (299, 300)


def test_a_prompt_is_kept_with_the_models_own_adapters_and_no_others(shelf):
    """What is kept says nothing of adapters, so it is all of one kind."""
    with life(shelf, n_adapters=2) as running:
        ask(running, "others", A, adapters=(AdapterUse(0, 0.5),))
    assert shelf.prompts() == []
    with life(shelf, n_adapters=2) as running:
        ask(running, "own", A)
    with life(shelf, n_adapters=2) as running:
        assert ask(running, "others", A, adapters=()).n_cached == 0
        assert ask(running, "own", A).n_cached == 299


def test_a_stored_system_prompt_serves_another_question(shelf):
    with life(shelf) as running:
        ask(running, "r", A + "one question")
    with life(shelf) as running:
        started = ask(running, "r", A + "two questions")
        assert (started.n_cached, started.n_diverged) == (300, 300)


def test_a_prompt_is_on_disk_soon_after_its_answer(shelf, monkeypatch):
    """Without any further word to the worker, since it may be killed at any time."""
    monkeypatch.setattr(cache_module, "SETTLE_S", 0.0)
    with life(shelf) as running:
        ask(running, "r", A)
        running.wait_until(lambda: shelf.prompts())
        (prompt,) = shelf.prompts()
        assert prompt.n_tokens >= 300
    assert len(shelf.prompts()) == 1


def test_it_works_without_host_memory(shelf):
    """An entry larger than the host tier serves the one that asked for it."""
    with life(shelf, n_host_bytes=0) as running:
        ask(running, "r", A)
        ask(running, "s", B)
    assert len(shelf.prompts()) == 2
    with life(shelf, n_host_bytes=0) as running:
        assert ask(running, "r", A + "x").n_cached == 300
        assert ask(running, "s", B + "y").n_cached == 300


@pytest.mark.parametrize("cache", [CacheUse.NONE, CacheUse.MEMORY])
def test_a_prompt_that_must_not_go_to_disk_does_not(shelf, cache):
    with life(shelf) as running:
        ask(running, "r", A, cache=cache)
        ask(running, "s", B)  # drives it out of the context
    assert [prompt.n_tokens for prompt in shelf.prompts()] == [301]
    with life(shelf) as running:
        assert ask(running, "r", A).n_cached == 0


@pytest.mark.parametrize(
    ("first", "second", "n_cached"),
    [
        (CacheUse.MEMORY, CacheUse.MEMORY, 300),
        (CacheUse.MEMORY, CacheUse.DISK, 300),
        (CacheUse.DISK, CacheUse.MEMORY, 300),
        (CacheUse.DISK, CacheUse.NONE, 0),
        (CacheUse.NONE, CacheUse.DISK, 0),
    ],
)
def test_within_a_worker_only_none_keeps_a_prompt_to_itself(shelf, first, second, n_cached):
    with life(shelf) as running:
        ask(running, "r", A + "x", cache=first)
        assert ask(running, "s", A + "y", cache=second).n_cached == n_cached


def test_with_memory_alone_the_disk_is_not_asked(shelf):
    with life(shelf) as running:
        ask(running, "r", A)
    with life(shelf) as running:
        assert ask(running, "r", A, cache=CacheUse.MEMORY).n_cached == 0


def test_owners_do_not_share_in_any_tier(shelf):
    with life(shelf) as running:
        ask(running, "r", A + "x", owner="a")
        started = ask(running, "s", A + "y", owner="b")  # the cells are still there
        assert (started.n_cached, started.n_diverged) == (0, None)
        ask(running, "t", B, owner="a")
        assert ask(running, "u", A + "z", owner="c").n_cached == 0  # host memory has it
        assert ask(running, "v", A + "z", owner="a").n_cached == 300
    with life(shelf) as running:
        assert ask(running, "r", A + "x", owner="c-").n_cached == 0
        assert ask(running, "s", A + "x", owner="a").n_cached >= 300


def test_a_seed_computes_its_prompt_and_says_nothing_of_others(shelf):
    with life(shelf) as running:
        ask(running, "r", A)
        started = ask(running, "s", A, seed=3)
        assert (started.n_cached, started.n_diverged) == (0, None)


def test_where_a_prompt_first_differs_is_told_even_where_nothing_is_gained(shelf):
    with life(shelf) as running:
        ask(running, "r", "x" * 10 + "y")
        started = ask(running, "s", "x" * 10 + "z")
        assert (started.n_cached, started.n_diverged) == (0, 10)


def test_a_state_that_llama_cpp_refuses_is_computed_and_goes(shelf, monkeypatch):
    with life(shelf) as running:
        ask(running, "r", A)
    monkeypatch.setattr(FakeBackend, "restore", lambda self, seq_id, blob, n: False)
    with life(shelf) as running:
        assert ask(running, "r", A).n_cached == 0
        assert running.ask(AskCache("q")).prompts == ()
        assert shelf.files() == []


def test_memory_is_told_and_cleared_for_one_owner_or_all(shelf):
    with life(shelf) as running:
        ask(running, "r", A, owner="a")
        ask(running, "s", B, owner="b")
        ask(running, "t", "c" * 300, owner="b")
        state = running.ask(AskCache("q1"))
        assert [(prompt.owner_id, prompt.n_tokens) for prompt in state.prompts] == [
            ("b", 301),
            ("a", 301),
        ]
        assert state.n_cells == 301
        assert state.n_host_bytes == sum(prompt.n_bytes for prompt in state.prompts) > 0
        state = running.ask(ClearCache("q2", "b"))
        assert [prompt.owner_id for prompt in state.prompts] == ["a"]
        assert state.n_cells == 0
        assert running.ask(ClearCache("q3")).n_host_bytes == 0
        shelf.clear()
        assert ask(running, "u", A, owner="a").n_cached == 0


def test_one_conversation_is_forgotten_and_the_others_go_on(shelf):
    with life(shelf) as running:
        ask(running, "r", A, talk="one")
        ask(running, "s", B, talk="two")
        ask(running, "t", "c" * 300, talk="one")  # in the context still
        state = running.ask(ClearCache("q", conversation_id="one"))
        assert (state.n_cells, len(state.prompts)) == (0, 1)
        shelf.clear(conversation_id="one")
        assert ask(running, "u", A).n_cached == 0
        assert ask(running, "v", "c" * 300).n_cached == 0
        assert ask(running, "w", B).n_cached > 0
    with life(shelf) as running:
        assert ask(running, "x", B).n_cached > 0


def test_what_waits_to_be_written_of_other_conversations_is_written(shelf):
    with life(shelf) as running:
        ask(running, "r", A, talk="one")
        ask(running, "s", B, talk="two")
        for n in range(20):  # however far the writer has come
            running.ask(ClearCache(f"q{n}", conversation_id="one"))
    shelf.clear(conversation_id="one")
    with life(shelf) as running:
        assert ask(running, "t", A).n_cached == 0
        assert ask(running, "u", B).n_cached > 0


def test_a_worker_that_shall_keep_no_more_leaves_nothing(shelf):
    """As before a model is deleted: nothing of it may come back when the worker ends."""
    with life(shelf) as running:
        ask(running, "r", A)
        running.ask(ClearCache("q", keeps=False))
        shelf.clear()
        ask(running, "s", B)
        ask(running, "t", A)
    assert shelf.files() == []


def test_models_that_cannot_be_cut_write_nothing(shelf):
    with life(shelf, n_cold_max=0) as running:
        ask(running, "r", A)
        ask(running, "s", A)
    assert shelf.files() == []


REQUESTS = st.tuples(
    st.sampled_from(["", "a"]),
    st.sampled_from(list(CacheUse)),
    st.lists(st.sampled_from(["a" * 64, "b" * 64, "ab" * 20, "c"]), min_size=1, max_size=4),
    st.sampled_from([None, (), (AdapterUse(1),)]),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lives=st.lists(st.lists(REQUESTS, min_size=1, max_size=6), min_size=2, max_size=3),
    n_host_bytes=st.sampled_from([0, 2000, 1 << 20]),
    n_cells=st.integers(300, 900),
    n_seq_max=st.integers(1, 3),
)
def test_whatever_is_kept_answers_are_right_and_owners_apart(
    monkeypatch, tmp_path_factory, lives, n_host_bytes, n_cells, n_seq_max
):
    """Several workers after each other, requests all at once, prompts that begin alike.

    The fake asserts that nobody goes on from what other adapters computed.
    """
    monkeypatch.setattr(Shelf, "disk_is_low", lambda self, n_bytes: False)
    monkeypatch.setattr("runner.engine.disk.WORTH_WRITING", 64)
    monkeypatch.setattr("runner.engine.cache.WORTH_WRITING", 64)
    monkeypatch.setattr("runner.engine.cache.WORTH_SAVING", 2)
    shelf = Shelf(tmp_path_factory.mktemp("kv"))
    asked = [request for one in lives for request in one]
    for one in lives:
        sizes = {"n_cells": n_cells, "n_seq_max": n_seq_max, "n_batch": 64, "n_adapters": 2}
        with life(shelf, n_host_bytes=n_host_bytes, **sizes) as running:
            requests = []
            for i, (owner, cache, parts, adapters) in enumerate(one):
                terms = Terms(owner_id=owner, cache=cache)
                requests.append(
                    Generate(
                        f"r{i}",
                        ON,
                        prompt="".join(parts),
                        max_tokens=3,
                        terms=terms,
                        adapters=adapters,
                    )
                )
                running.send(requests[-1])
            for request in requests:
                assert not isinstance(running.ending(request.request_id), Failed)
                check(running, request)
                n_cached = running.started[request.request_id].n_cached
                assert n_cached <= n_known(request, asked)
    for prompt in shelf.prompts():
        owners = {owner for owner, cache, *_ in asked if cache is CacheUse.DISK}
        assert prompt.owner_id in owners


def n_known(request, asked):
    """Most tokens that anything its owner let be kept has in common with a request.

    The answers are part of what is kept, but end what is alike: 3 tokens more at most.
    """
    if request.terms.cache is CacheUse.NONE:
        return 0
    prompts = [
        "".join(parts)
        for owner, cache, parts, _ in asked
        if owner == request.terms.owner_id and cache is not CacheUse.NONE
    ]
    return max(common(prompt, request.prompt) for prompt in prompts) + 3


def common(a, b):
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n

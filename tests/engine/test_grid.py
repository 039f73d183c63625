"""Deterministic requests: the same bytes alone, beside others, cached or not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from runner.domain.event import FinishReason
from runner.domain.options import SamplingParams
from runner.domain.request import Terms
from runner.engine.backend import DecodeFailed
from runner.engine.grid import GRID, Grid
from runner.hub.packaged import find_starter
from runner.protocol.messages import Abort, Failed, Generate, Outcome
from tests.engine.conftest import load
from tests.engine.running import Running
from tests.engine.sequences import new_sequence
from tests.fakes.backend import FakeBackend, FakeVocabulary, answer
from tests.fakes.random_models import random_llama, random_mamba, random_sliding

FIXED = Terms(is_deterministic=True)
WILD = SamplingParams(temperature=1.5, top_k=0, top_p=1.0, ignore_eos=True)
live = pytest.mark.live


class Recorder(FakeBackend):
    """Remembers where each chunk began and ended."""

    def decode(self, chunks):
        (chunk,) = chunks
        self.chunks.append((chunk.start, chunk.start + chunk.n))
        return super().decode(chunks)


def recorder(*, n_cold_max: int = 1) -> Recorder:
    made = Recorder(n_ctx=512, n_cells=512, n_batch=GRID, n_seq_max=1, n_cold_max=n_cold_max)
    made.chunks = []
    return made


def run(grid: Grid, tokens: list[int], **whose: str) -> int:
    """Compute a prompt on the grid; return how much of it was there."""
    seq = new_sequence("", len(tokens), 600, **whose)
    seq.tokens = list(tokens)
    grid.add(seq)
    assert grid.admit() is seq
    n_cached = seq.n_computed
    while not (chunk := grid.next_chunk()).draw:
        grid.compute(chunk)
    grid.compute(chunk)
    grid.remove(seq)
    assert grid.is_idle
    return n_cached


@given(st.lists(st.lists(st.sampled_from([1, 2]), min_size=1, max_size=200), max_size=6))
def test_chunks_begin_and_end_at_the_same_places_whatever_ran_before(prompts):
    """What is not computed again is whole chunks; the rest is cut as when nothing was there."""
    made = recorder()
    grid = Grid(made)
    for tokens in prompts:
        made.chunks.clear()
        n_cached = run(grid, tokens)
        n = len(tokens)
        fresh = [(i, min(i + GRID, n)) for i in range(0, n, GRID)]
        assert n_cached % GRID == 0
        assert made.chunks == fresh[n_cached // GRID :]
        assert made.chunks, "the last chunk is computed in any case"


def test_no_owner_profits_from_another_and_what_is_cleared_is_gone():
    grid = Grid(recorder())
    assert [run(grid, [1] * 100, owner_id=owner) for owner in ("a", "b", "b")] == [0, 0, 96]
    for owner, n_cached in (("a", 96), ("b", 0), (None, 0)):
        grid.clear(owner, None)
        assert run(grid, [1] * 100, owner_id="b") == n_cached
    grid.clear("b", "another conversation")
    assert run(grid, [1] * 100, owner_id="b") == 96


def test_a_prompt_again_computes_its_last_chunk_only():
    grid = Grid(recorder())
    assert [run(grid, [1] * 100) for _ in range(2)] == [0, 96]
    assert [run(grid, [1] * 96 + [2] * n) for n in (0, 50)] == [64, 96]


def test_where_a_state_cannot_be_cut_everything_is_computed():
    grid = Grid(recorder(n_cold_max=0))
    assert [run(grid, [1] * 100) for _ in range(2)] == [0, 0]


def test_it_is_answered_beside_the_others_and_can_be_given_up():
    made = FakeBackend(n_ctx=200, n_cells=600, n_batch=64, n_cold_max=1)
    with Running(FakeVocabulary(), made) as running:
        params = SamplingParams(temperature=0, ignore_eos=True)
        prompt = "fixed " * 12
        for i in range(3):
            running.send(Generate(f"f{i}", params, prompt=prompt, max_tokens=30, terms=FIXED))
            running.send(Generate(f"o{i}", params, prompt=f"other {i}", max_tokens=30))
        running.send(Abort("f2"))
        for name in ("f0", "f1", "o0", "o1", "o2"):
            assert isinstance(running.ending(name), Outcome)
        seeded = SamplingParams(temperature=0, ignore_eos=True, seed=0)
        expected, *_ = answer(prompt.encode(), seeded, n_limit=len(prompt) + 30)
        assert running.texts["f0"] == running.texts["f1"] == expected
        assert running.ending("f2").reason is FinishReason.ABORTED
    made.check_empty()
    made.deterministic().check_empty()


def test_a_step_that_fails_is_one_requests_failure():
    made = FakeBackend(n_ctx=200, n_cells=600, n_batch=64, n_cold_max=1)
    made.deterministic()._faults = iter([None, DecodeFailed, None])
    params = SamplingParams(temperature=0, ignore_eos=True)
    with Running(FakeVocabulary(), made) as running:
        request = Generate("bad", params, prompt="x" * 60, max_tokens=5, terms=FIXED)
        assert isinstance(running.ask(request), Failed)
        request = Generate("good", params, prompt="x" * 60, max_tokens=5, terms=FIXED)
        assert isinstance(running.ask(request), Outcome)
        assert running.started["good"].n_cached == 0


def ask(running: Running, name: str, prompt: str, params=WILD, n: int = 24, **rest) -> str:
    request = Generate(name, params, prompt=prompt, max_tokens=n, terms=FIXED, **rest)
    outcome = running.ask(request)
    assert isinstance(outcome, Outcome), outcome
    return running.texts[name]


@live
def test_the_starter_says_the_same_bytes_alone_under_load_and_cached(starter):
    """Hot enough that a last digit would change the text soon; whatever the engine did before."""
    prompt = "It was a dark night. The wind was cold, and " * 6
    texts = []
    starter.clear()
    with Running(starter.model, starter) as running:
        texts.append(ask(running, "alone", prompt))
        texts.append(ask(running, "again", prompt))
        assert running.started["again"].n_cached > 0
        for i in range(7):
            text = f"{i} things to know about birds: "
            running.send(Generate(f"load{i}", WILD, prompt=text, max_tokens=60))
        texts.append(ask(running, "under load", prompt))
        for i in range(7):
            running.ending(f"load{i}")
        ask(running, "another", "Something else entirely, " * 9)
        texts.append(ask(running, "after another", prompt))
        assert ask(running, "longer", prompt + texts[0] + " Then he said") != texts[0]
        texts.append(ask(running, "after a longer", prompt))
        assert ask(running, "seeded", prompt, SamplingParams(temperature=1.5, seed=9)) != texts[0]
    starter.clear()
    path = find_starter()
    other = load(path, n_ctx=256, n_cells=300, n_seq_max=2, n_batch=17, n_threads=1)
    with Running(other.model, other) as running:
        running.ask(Generate("before", WILD, prompt="Before. " * 20, max_tokens=3))
        texts.append(ask(running, "elsewhere", prompt))
    other.close()
    assert len(set(texts)) == 1
    assert len(texts[0]) > 20


@live
@pytest.mark.parametrize("write", [random_llama, random_sliding, random_mamba])
@settings(max_examples=8)
@given(turns=st.lists(st.sampled_from(["ab " * 30, "cd " * 11, "e" * 64]), max_size=4))
def test_no_kind_says_other_bytes_after_other_texts(write, turns, made_once):
    backend, expected = made_once(write)
    with Running(backend.model, backend) as running:
        for i, text in enumerate(turns):
            ask(running, f"r{i}", text, n=3)
        prompt = "ab " * 30 + "cd " * 11
        assert ask(running, "last", prompt, n_ctx=160, shifts=True, n=90) == expected


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """A backend of each kind, and what it says before anything else was asked."""
    made = {}

    def make(write):
        if write not in made:
            path = tmp_path_factory.mktemp("models") / "model.gguf"
            write(path)
            backend = load(path, n_ctx=512, n_cells=512, n_seq_max=2, n_batch=64, n_threads=1)
            with Running(backend.model, backend) as running:
                prompt = "ab " * 30 + "cd " * 11
                text = ask(running, "first", prompt, n_ctx=160, shifts=True, n=90)
            made[write] = backend, text
        return made[write]

    yield make
    for backend, _ in made.values():
        backend.close()

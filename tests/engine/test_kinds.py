"""Every kind of model on the real engine: its numbers, and that what is used again is exact."""

from __future__ import annotations

import numpy as np
import pytest

from runner.domain.options import SamplingParams
from runner.engine.detokenize import Detokenizer
from runner.engine.scheduler import Chunk
from runner.engine.sequence import Sequence
from tests.engine.conftest import load
from tests.engine.sequences import NoSampler
from tests.fakes.random_models import (
    N_VOCAB,
    random_hybrid,
    random_llama,
    random_mamba,
    random_sliding,
)

pytestmark = pytest.mark.live

GREEDY = SamplingParams(temperature=0, ignore_eos=True)
#: Numbers of a batch of another width differ in their last digits, those of a wrong state by far.
CLOSE = {"rtol": 0, "atol": 0.02}
KINDS = {"sliding": random_sliding, "mamba": random_mamba, "hybrid": random_hybrid}


def tokens_of(n: int, seed: int = 0) -> list[int]:
    """``n`` tokens that no text would have in this order."""
    drawn = np.random.default_rng(seed).integers(3, N_VOCAB, n)
    return [1, *map(int, drawn[1:])]


def compute(backend, tokens: list[int], *, seq_id: int = 0, start: int = 0, n_most: int = 64):
    """The logits after ``tokens``, when those before ``start`` are in the cache already."""
    seq = Sequence("", tokens, len(tokens), 0, NoSampler(), Detokenizer(), seq_id=seq_id)
    while start < len(tokens):
        n = min(n_most, len(tokens) - start)
        (row,) = backend.decode([Chunk(seq, start, n, draw=start + n == len(tokens))])
        start += n
    return backend._context.logits(row).copy()


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "llama.gguf"
    weights = random_llama(path)
    sizes = {"n_ctx": 256, "n_cells": 512, "n_seq_max": 4, "n_batch": 128, "n_threads": 1}
    # Nothing is rounded to 16 bits: flash attention does that inside, whatever the cache holds.
    exact = {"kv_type_k": "f32", "kv_type_v": "f32", "flash_attention": False}
    backend = load(path, **sizes, **exact)
    yield backend, weights
    backend.close()


@pytest.mark.parametrize("n", [1, 2, 31, 200])
@pytest.mark.parametrize("n_most", [1, 7, 128])
def test_the_logits_are_those_of_the_published_arithmetic(llama, n, n_most):
    """However the prompt is cut: each token has its own position, and sees all before it."""
    backend, weights = llama
    backend.clear()
    tokens = tokens_of(n)
    expected = weights.logits(tokens)
    got = compute(backend, tokens, n_most=n_most)
    np.testing.assert_allclose(got, expected, atol=2e-4)
    assert np.ptp(expected) > 1


def test_shared_cells_give_the_logits_of_the_published_arithmetic(llama):
    backend, weights = llama
    backend.clear()
    first, other = tokens_of(120), tokens_of(120)[:70] + tokens_of(50, seed=9)
    compute(backend, first, seq_id=2)
    backend.share(2, 0, 70)
    backend.free(2)
    got = compute(backend, other, seq_id=0, start=70)
    np.testing.assert_allclose(got, weights.logits(other), atol=2e-4)


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    path = KINDS[request.param](tmp_path_factory.mktemp("models") / "model.gguf")
    backend = load(path, n_ctx=1024, n_cells=2048, n_seq_max=4, n_batch=128, n_threads=1)
    yield backend
    backend.close()


def test_a_state_that_cannot_be_cut_says_so(kind):
    kind.clear()
    assert kind.n_cold_max == 0


@pytest.mark.parametrize(("n_mark", "n_all"), [(100, 101), (150, 700)])
def test_a_mark_brings_back_exactly_what_later_tokens_overwrote(kind, n_mark, n_all):
    """Into another sequence, and beside one that goes on."""
    kind.clear()
    old, new = tokens_of(n_all), tokens_of(n_mark) + tokens_of(40, seed=3)
    expected = compute(kind, new, seq_id=3)
    kind.clear()
    compute(kind, old[:n_mark], seq_id=0)
    mark = kind.save(0, partial=True)
    compute(kind, old, seq_id=0, start=n_mark)
    whole = kind.save(0)
    compute(kind, tokens_of(300, seed=5), seq_id=1)
    assert kind.restore(2, whole, n_mark, mark)
    np.testing.assert_allclose(compute(kind, new, seq_id=2, start=n_mark), expected, **CLOSE)
    kind.free(2)
    assert kind.restore(2, whole, n_all)
    longer = old + tokens_of(30, seed=4)
    got = compute(kind, longer, seq_id=2, start=n_all)
    kind.clear()
    np.testing.assert_allclose(got, compute(kind, longer), **CLOSE)

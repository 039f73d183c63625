"""llama.cpp's samplers as we chain them, against the same written with numpy."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from runner.domain.options import SamplingParams
from runner.engine.chunks import Chunk
from runner.engine.llama.candidates import Candidates
from runner.engine.llama.sampler import _new_chain
from runner.errors import InvalidRequest
from tests.engine.sequences import new_sequence

pytestmark = pytest.mark.live

N = 12
OFF = {"top_k": 0, "top_p": 1.0, "seed": 1, "temperature": 1.0}
#: Far enough apart that float32 and float64 agree on which is larger.
LOGITS = st.lists(
    st.integers(-40, 40).map(lambda n: n / 8), min_size=N, max_size=N, unique=True
).map(lambda values: np.array(values, np.float32))
LIMITED = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def left(tiny, logits, params: SamplingParams, prompt=()) -> dict[int, float]:
    """The probability of each token that the chain may draw."""
    import llama_cpp

    chain = _new_chain(tiny.model, params, list(prompt), 64)
    candidates = Candidates(N)
    candidates.fill(np.arange(N, dtype=np.int32), logits)
    candidates.apply(chain)
    llama_cpp.llama_sampler_free(chain)
    found = candidates.probabilities()
    return {token: p for token, p in found.items() if p > 0}


def same(found: dict[int, float], expected: np.ndarray) -> None:
    wanted = {token: p for token, p in enumerate(expected) if p > 0}
    assert found.keys() == wanted.keys()
    for token, p in wanted.items():
        assert found[token] == pytest.approx(p, rel=1e-3, abs=1e-6)


def cut(probabilities, keep) -> np.ndarray:
    kept = np.where(keep, probabilities, 0)
    return kept / kept.sum()


@LIMITED
@given(LOGITS, st.integers(1, 32))
def test_temperature(tiny, logits, eighths):
    temperature = eighths / 8
    params = SamplingParams(**OFF | {"temperature": temperature})
    found = left(tiny, logits, params)
    expected = softmax(logits / temperature)
    for token, p in enumerate(expected):
        assert found.get(token, 0) == pytest.approx(p, rel=1e-3, abs=1e-6)


@LIMITED
@given(LOGITS, st.integers(1, N))
def test_top_k(tiny, logits, k):
    keep = logits >= np.sort(logits)[-k]
    same(left(tiny, logits, SamplingParams(**OFF | {"top_k": k})), cut(softmax(logits), keep))


@LIMITED
@given(LOGITS, st.sampled_from([0.1, 0.33, 0.5, 0.71, 0.93]))
def test_top_p(tiny, logits, p):
    probabilities = softmax(logits.astype(np.float64))
    order = np.argsort(-probabilities)
    n_kept = int(np.searchsorted(np.cumsum(probabilities[order]), p)) + 1
    keep = np.isin(np.arange(N), order[:n_kept])
    same(left(tiny, logits, SamplingParams(**OFF | {"top_p": p})), cut(probabilities, keep))


@LIMITED
@given(LOGITS, st.sampled_from([0.01, 0.07, 0.3, 0.9]))
def test_min_p(tiny, logits, p):
    probabilities = softmax(logits.astype(np.float64))
    keep = probabilities >= p * probabilities.max()
    same(left(tiny, logits, SamplingParams(**OFF | {"min_p": p})), cut(probabilities, keep))


@LIMITED
@given(LOGITS, st.sampled_from([0.3, 1.1, 2.3]))
def test_top_n_sigma(tiny, logits, n):
    values = logits.astype(np.float64)
    keep = values >= values.max() - n * values.std()
    same(left(tiny, logits, SamplingParams(**OFF | {"top_n_sigma": n})), cut(softmax(values), keep))


@LIMITED
@given(LOGITS, st.sampled_from([0.2, 0.55, 0.9]))
def test_typical_p(tiny, logits, p):
    probabilities = softmax(logits.astype(np.float64))
    entropy = -(probabilities * np.log(probabilities)).sum()
    order = np.argsort(np.abs(-np.log(probabilities) - entropy), kind="stable")
    n_kept = int(np.searchsorted(np.cumsum(probabilities[order]), p)) + 1
    found = left(tiny, logits, SamplingParams(**OFF | {"typical_p": p}))
    keep = np.isin(np.arange(N), order[:n_kept])
    if len(found) == n_kept:  # two that are equally typical may change places
        assert sum(keep[token] for token in found) >= n_kept - 1
    assert abs(len(found) - n_kept) <= 1


@LIMITED
@given(LOGITS)
def test_xtc_leaves_only_the_least_likely_of_the_likely(tiny, logits):
    probabilities = softmax(logits.astype(np.float64))
    params = SamplingParams(**OFF | {"xtc_probability": 1.0, "xtc_threshold": 0.1})
    likely = [token for token in np.argsort(-probabilities) if probabilities[token] >= 0.1]
    keep = ~np.isin(np.arange(N), likely[:-1])
    same(left(tiny, logits, params), cut(probabilities, keep))


PROMPTS = st.lists(st.integers(0, N - 1), max_size=20)


@LIMITED
@given(LOGITS, PROMPTS, st.integers(-1, 22))
def test_penalties_see_their_window_and_nothing_else(tiny, logits, prompt, n_back):
    params = SamplingParams(
        **OFF,
        repeat_last_n=n_back,
        repeat_penalty=1.5,
        presence_penalty=0.5,
        frequency_penalty=0.25,
    )
    window = prompt if n_back < 0 else prompt[max(0, len(prompt) - n_back) :]
    expected = logits.astype(np.float64)
    for token, n in Counter(window).items():
        value = expected[token]
        value = value * 1.5 if value <= 0 else value / 1.5
        expected[token] = value - 0.5 - 0.25 * n
    same(left(tiny, logits, params, prompt), softmax(expected))


@LIMITED
@given(LOGITS, st.integers(0, 8), st.integers(2, 4))
def test_dry_penalizes_what_would_repeat(tiny, logits, n_seen, allowed):
    """After ``1 2 3 4 … 1 2 3``, 4 would make the repetition longer."""
    prompt = [*range(1, 6), *range(6, 6 + n_seen % 3), 0, *range(1, 5)]
    params = SamplingParams(
        **OFF,
        dry_multiplier=0.5,
        dry_base=2.0,
        dry_allowed_length=allowed,
        dry_penalty_last_n=-1,
        dry_sequence_breakers=(),
    )
    expected = logits.astype(np.float64)
    expected[5] -= 0.5 * 2.0 ** (4 - allowed)
    same(left(tiny, logits, params, prompt), softmax(expected))


@LIMITED
@given(LOGITS)
def test_the_order_of_samplers_is_the_one_asked_for(tiny, logits):
    """Hot first, more are likely enough for top-p; cut first, it is among few."""
    base = OFF | {"temperature": 3.0, "top_p": 0.5}
    cold = softmax(logits.astype(np.float64))
    hot = softmax(logits.astype(np.float64) / 3)
    for names, judged in ((("top_p", "temperature"), cold), (("temperature", "top_p"), hot)):
        order = np.argsort(-judged)
        n_kept = int(np.searchsorted(np.cumsum(judged[order]), 0.5)) + 1
        keep = np.isin(np.arange(N), order[:n_kept])
        found = left(tiny, logits, SamplingParams(**base, samplers=names))
        assert abs(len(found) - keep.sum()) <= 1
        if len(found) == keep.sum():
            same(found, cut(hot, keep))
    unused = SamplingParams(**base, samplers=("temperature",))
    assert len(left(tiny, logits, unused)) >= len(left(tiny, logits, SamplingParams(**base)))


@LIMITED
@given(LOGITS, st.sampled_from([0.25, 0.5]), st.sampled_from([1.0, 2.0]))
def test_dynamic_temperature_follows_the_entropy(tiny, logits, spread, exponent):
    values = logits.astype(np.float64)
    probabilities = softmax(values)
    entropy = -(probabilities * np.log(probabilities)).sum() / np.log(N)
    temperature = 1 - spread + 2 * spread * entropy**exponent
    params = SamplingParams(**OFF, dynatemp_range=spread, dynatemp_exponent=exponent)
    found = left(tiny, logits, params)
    for token, p in enumerate(softmax(values / temperature)):
        assert found.get(token, 0) == pytest.approx(p, rel=5e-3, abs=1e-5)


def drawn(backend, params: SamplingParams, n: int = 400, text: str = "k") -> Counter:
    """How often each token is drawn at the same place."""
    tokens = backend.model.with_bos(backend.model.tokenize(text, parse_special=False))
    seq = new_sequence("a", len(tokens), 64)
    seq.tokens, seq.seq_id = tokens, 0
    counts: Counter = Counter()
    sampler = backend.new_sampler(params, tokens)
    for _ in range(n):
        (row,) = backend.decode([Chunk(seq, 0, len(tokens), draw=True)])
        counts[sampler.draw(row)] += 1
        backend.clear()
    sampler.close()
    return counts


def test_draws_have_the_frequencies_of_their_probabilities(tiny):
    """At a temperature where the tiny model hesitates between what it says and all others."""
    n = 600
    tokens = tiny.model.with_bos(tiny.model.tokenize("k", parse_special=False))
    seq = new_sequence("a", len(tokens), 64)
    seq.tokens, seq.seq_id = tokens, 0
    (row,) = tiny.decode([Chunk(seq, 0, len(tokens), draw=True)])
    expected = softmax(tiny._context.logits(row).astype(np.float64) / 20)
    tiny.clear()
    counts = drawn(tiny, SamplingParams(temperature=20.0, top_k=0, top_p=1, seed=5), n=n)
    (likeliest, n_likeliest), *_ = counts.most_common()
    assert tiny.model.piece(likeliest) == b"l"
    p = expected[likeliest]
    assert 0.1 < p < 0.9
    assert abs(n_likeliest - n * p) < 4 * np.sqrt(n * p * (1 - p))
    assert len(counts) > 50, "the others come, too"


def test_a_bias_makes_a_token_certain_or_impossible(tiny):
    (x,) = tiny.model.tokenize("x", parse_special=False)
    (usual,) = drawn(tiny, SamplingParams(temperature=0), n=1)
    for bias in (((x, 100.0), (usual, -90.0)), (("x", 100.0), ("l", -90.0))):
        assert set(drawn(tiny, SamplingParams(logit_bias=bias, seed=1), n=5)) == {x}
        assert set(drawn(tiny, SamplingParams(temperature=0, logit_bias=bias), n=2)) == {x}
    for temperature in (0, 5):
        params = SamplingParams(temperature=temperature, logit_bias=((usual, -100.0),), seed=1)
        assert usual not in drawn(tiny, params, n=50)


def test_a_bias_for_a_token_that_does_not_exist_is_refused(tiny):
    params = SamplingParams(logit_bias=((tiny.n_vocab, 1.0),))
    with pytest.raises(InvalidRequest, match=rf"token {tiny.n_vocab} is not in \[0, ") as caught:
        tiny.new_sampler(params, [1])
    assert caught.value.param == "logit_bias"


def test_log_probabilities_are_the_models_own_before_any_bias(tiny):
    def told(**more):
        params = SamplingParams(temperature=0, **more)
        tokens = tiny.model.with_bos(tiny.model.tokenize("k", parse_special=False))
        seq = new_sequence("a", len(tokens), 64)
        seq.tokens, seq.seq_id = tokens, 0
        sampler = tiny.new_sampler(params, tokens, n_logprobs=3)
        (row,) = tiny.decode([Chunk(seq, 0, len(tokens), draw=True)])
        sampler.draw(row)
        tiny.clear()
        sampler.close()
        return sampler.logprob

    plain = told()
    assert plain.drawn == plain.top[0]
    biased = told(logit_bias=(("x", 100.0), ("l", -90.0)))
    assert biased.drawn.content == b"x"
    assert biased.top == plain.top
    assert biased.drawn.logprob < plain.drawn.logprob

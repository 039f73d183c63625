"""Every kind of model on the real engine: its numbers, and that what is used again is exact."""

from __future__ import annotations

import llama_cpp
import numpy as np
import pytest

from runner.domain.event import FinishReason
from runner.domain.options import SamplingParams
from runner.engine.backend import DecodeFailed
from runner.engine.chunks import Chunk
from runner.engine.detokenize import Detokenizer
from runner.engine.sequence import Sequence
from runner.errors import WorkerError
from runner.hub.packaged import find_starter
from runner.protocol.messages import Failed, Generate, Outcome
from tests.engine.conftest import load
from tests.engine.running import Running
from tests.engine.sequences import NoSampler
from tests.fakes.random_models import (
    N_VOCAB,
    random_adapter,
    random_hybrid,
    random_llama,
    random_mamba,
    random_ranker,
    random_sliding,
)

pytestmark = pytest.mark.live

GREEDY = SamplingParams(temperature=0, ignore_eos=True)
#: Numbers of a batch of another width differ in their last digits, those of a wrong state by far.
CLOSE = {"rtol": 0, "atol": 1e-3}
#: Nothing is rounded to 16 bits, so that no near tie falls differently: flash attention does that
#: inside, whatever the cache holds.
EXACT = {"kv_type_k": "f32", "kv_type_v": "f32", "flash_attention": False}
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
    backend = load(path, **sizes, **EXACT)
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
    sizes = {"n_ctx": 1024, "n_cells": 2048, "n_seq_max": 4, "n_batch": 128, "n_threads": 1}
    backend = load(path, **sizes, **EXACT)
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


def ask(running: Running, request: Generate) -> str:
    outcome = running.ask(request)
    assert isinstance(outcome, Outcome), outcome
    return running.texts[request.request_id]


def test_a_conversation_goes_on_from_its_past_and_says_the_same(kind):
    """What is used again changes no token: these models say something else after any other text."""
    history, texts = "<|im_start|>system\n" + "Be brief. " * 20, []
    for n_host_bytes in (0, 1 << 24):
        kind.clear()
        with Running(kind.model, kind, n_host_bytes=n_host_bytes) as running:
            said, prompt = [], history
            for turn in range(4):
                prompt += f"<|im_end|>\n<|im_start|>user\nQuestion {turn}?<|im_end|>\n"
                request = Generate(f"r{turn}", GREEDY, prompt=prompt, max_tokens=24)
                said.append(ask(running, request))
                prompt += "It is as I said. "
            texts.append(said)
            cached = [running.started[f"r{turn}"].n_cached for turn in range(4)]
    assert texts[0] == texts[1]
    assert cached[0] == 0
    assert min(cached[1:]) > 180


def test_requests_at_once_that_begin_alike_say_what_each_says_alone(kind):
    prompts = ["Common words, many of them. " * 10 + f"Part {i}" * 10 for i in range(6)]
    alone = []
    for i, prompt in enumerate(prompts):
        kind.clear()
        with Running(kind.model, kind) as running:
            alone.append(ask(running, Generate(f"r{i}", GREEDY, prompt=prompt, max_tokens=12)))
    kind.clear()
    with Running(kind.model, kind, n_host_bytes=1 << 24) as running:
        for i, prompt in enumerate(prompts * 2):
            running.send(Generate(f"r{i}", GREEDY, prompt=prompt, max_tokens=12))
        for i in range(12):
            assert isinstance(running.ending(f"r{i}"), Outcome)
            assert running.texts[f"r{i}"] == alone[i % 6]
        assert max(started.n_cached for started in running.started.values()) > 200


@pytest.mark.parametrize("n_keep", [0, 4, 50, -1])
def test_an_answer_that_outgrows_its_context_goes_on_as_from_what_is_left(kind, n_keep):
    """The same tokens that a fresh run draws after the tokens that are left."""
    kind.clear()
    with Running(kind.model, kind, n_host_bytes=1 << 24) as running:
        request = Generate(
            "r",
            GREEDY,
            prompt="Tell me a long story. " * 3,
            n_ctx=128,
            max_tokens=150,
            shifts=True,
            n_keep=n_keep,
            wants_tokens=True,
        )
        outcome = running.ask(request)
        assert isinstance(outcome, Outcome)
        assert (outcome.reason, outcome.n_generated) == (FinishReason.LENGTH, 150)
        assert outcome.n_shifted > 64 // 2
        left = outcome.tokens
        assert len(left) <= 128
        assert running.started["r"].n_prompt + 150 == len(left) + outcome.n_shifted
        again = Generate(
            "again", GREEDY, prompt="", context=left[:-1], max_tokens=1, wants_tokens=True
        )
        assert running.ask(again).tokens[-1] == left[-1]


def test_without_being_asked_a_full_context_ends_the_answer(kind):
    kind.clear()
    with Running(kind.model, kind) as running:
        outcome = running.ask(Generate("r", GREEDY, prompt="Tell me. ", n_ctx=64))
        assert (outcome.reason, outcome.n_shifted) == (FinishReason.LENGTH, 0)
        assert outcome.n_generated + running.started["r"].n_prompt == 64


def test_a_damaged_model_fails_each_request_and_stays_able_to_say_so(tmp_path):
    path = tmp_path / "nan.gguf"
    random_llama(path, scale_output=float("nan"))
    backend = load(path, n_ctx=256, n_cells=512, n_seq_max=4, n_batch=128, n_threads=1)
    with Running(backend.model, backend) as running:
        for i in range(2):
            ending = running.ask(Generate(f"r{i}", GREEDY, prompt="Hi"))
            assert isinstance(ending, Failed)
            assert "NaN" in ending.message
            assert ending.hint
    backend.close()


def test_a_token_that_the_model_has_not_fails_its_step_and_the_next_is_well(llama):
    backend, weights = llama
    backend.clear()
    with pytest.raises(DecodeFailed):
        compute(backend, [1, N_VOCAB + 5, 3])
    backend.clear()
    tokens = tokens_of(20)
    np.testing.assert_allclose(compute(backend, tokens), weights.logits(tokens), atol=2e-4)


def test_a_step_that_llama_cpp_gives_up_fails_its_requests_and_no_later_one(llama):
    """The callback is llama.cpp's own way to stop a computation in its middle."""
    backend, _ = llama
    backend.clear()
    request = Generate("before", GREEDY, prompt="Once upon", max_tokens=20)
    calls = []

    @llama_cpp.ggml_abort_callback
    def give_up(_data):
        calls.append(1)
        return len(calls) == 400

    with Running(backend.model, backend) as running:
        expected = ask(running, request)
        llama_cpp.llama_set_abort_callback(backend._context.handle, give_up, None)
        for i in range(3):
            running.send(Generate(f"r{i}", GREEDY, prompt=f"{i} times", max_tokens=100))
        endings = [running.ending(f"r{i}") for i in range(3)]
        assert any(isinstance(ending, Failed) for ending in endings)
        llama_cpp.llama_set_abort_callback(
            backend._context.handle, llama_cpp.ggml_abort_callback(0), None
        )
        again = Generate("after", GREEDY, prompt="Once upon", max_tokens=20)
        assert ask(running, again) == expected


class Breaking:
    """A sampler that fails at its third token."""

    forced = ()
    is_complete = False
    logprob = None

    def __init__(self, inner, fault):
        self._inner, self._fault, self._n = inner, fault, 0

    def draw(self, row):
        self._n += 1
        token = self._inner.draw(row)
        if self._n < 3:
            return token
        if isinstance(self._fault, Exception):
            raise self._fault
        return self._fault

    def close(self):
        self._inner.close()

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.mark.parametrize("fault", [RuntimeError("broken grammar"), N_VOCAB, -1])
def test_a_fault_in_one_request_fails_that_request(llama, monkeypatch, fault):
    backend, _ = llama
    backend.clear()
    with Running(backend.model, backend) as running:
        expected = ask(running, Generate("alone", GREEDY, prompt="Once upon", max_tokens=20))
    new_sampler = backend.new_sampler

    def breaking(params, prompt, **more):
        inner = new_sampler(params, prompt, **more)
        return inner if params.seed is None else Breaking(inner, fault)

    monkeypatch.setattr(backend, "new_sampler", breaking)
    backend.clear()
    with Running(backend.model, backend) as running:
        running.send(Generate("well", GREEDY, prompt="Once upon", max_tokens=20))
        bad = SamplingParams(temperature=0, ignore_eos=True, seed=1)
        ending = running.ask(Generate("bad", bad, prompt="Twice", max_tokens=20))
        assert isinstance(ending, Failed)
        assert ending.message
        assert isinstance(running.ending("well"), Outcome)
        assert running.texts["well"] == expected
    backend.clear()


def test_a_cache_of_smaller_numbers_takes_less_memory_and_says_much_the_same():
    sizes = {"n_ctx": 256, "n_cells": 256, "n_seq_max": 2, "n_batch": 64, "n_threads": 1}
    count = "Count: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,"
    saved = {}
    for kinds in (("f16", "f16"), ("q8_0", "q8_0"), ("q8_0", "f16")):
        types = {"kv_type_k": kinds[0], "kv_type_v": kinds[1]}
        backend = load(find_starter(), **sizes, **types, flash_attention=True)
        with Running(backend.model, backend) as running:
            text = ask(running, Generate("r", GREEDY, prompt=count, max_tokens=8))
            assert text == " 15, 16,"
        compute(backend, [1] * 100, seq_id=1)
        saved[kinds] = len(backend.save(1))
        backend.close()
    assert saved["q8_0", "q8_0"] < 0.6 * saved["f16", "f16"] < saved["q8_0", "f16"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kv_type_k": "q9"}, "'q9'"),
        ({"kv_type_v": "q8_0", "flash_attention": False}, "flash attention"),
        ({"kv_type_k": "q8_0"}, "q8_0/f16"),  # its heads are narrower than a block of that type
    ],
)
def test_a_cache_that_cannot_be_is_refused_in_words(tmp_path, settings, words):
    path = tmp_path / "llama.gguf"
    random_llama(path)
    sizes = {"n_ctx": 256, "n_cells": 256, "n_seq_max": 2, "n_batch": 64, "n_threads": 1}
    with pytest.raises(WorkerError, match=words) as caught:
        load(path, **sizes, **settings)
    assert caught.value.hint


def test_llama_cpp_takes_the_adapter_and_the_ranker_that_other_tests_use(llama, tmp_path):
    backend, _ = llama
    random_adapter(tmp_path / "adapter.gguf")
    adapter = llama_cpp.llama_adapter_lora_init(
        backend.model.handle, str(tmp_path / "adapter.gguf").encode()
    )
    assert adapter
    path = random_ranker(tmp_path / "ranker.gguf")
    ranker = load(path, n_ctx=128, n_cells=128, n_seq_max=2, n_batch=64, n_threads=1)
    tokens = ranker.model.tokenize("ab c", parse_special=False)
    assert [ranker.model.piece(token) for token in tokens] == [b" a", b"b", b" c"]
    ranker.close()

"""Perplexity and divergence: the engine's numbers against numpy's own, window by window."""

from __future__ import annotations

import numpy as np
import pytest

from runner.errors import InvalidRequest, WorkerError
from runner.protocol.tasks import Measure, Weights
from runner.tools.perplexity import run
from tests.fakes.random_models import random_llama
from tests.fakes.wide_models import wide_llama

#: Each byte is a token of these models: 3 + byte.
TEXT = "The quick brown fox jumps over the lazy dog, again and again. " * 3
N_CTX = 32
BOS = 1


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two models with the same tokens: their files and their weights for numpy."""
    folder = tmp_path_factory.mktemp("models")
    return {
        name: (folder / f"{name}.gguf", random_llama(folder / f"{name}.gguf", seed=seed))
        for name, seed in (("one", 0), ("other", 1))
    }


def measure(path, source=None, text=TEXT, **more):
    told = []
    weights = Weights((str(path),))
    task = Measure(
        weights,
        Weights((str(source),)) if source else None,
        text,
        more.pop("n_ctx", N_CTX),
        n_threads=1,
        **more,
    )
    return run(task, told.append), told


def log_probabilities(weights, n_windows):
    """What numpy says of every scored token: rows of log-probabilities, and the targets."""
    tokens = [BOS, *(3 + byte for byte in TEXT.replace(" ", "\x00").encode())]
    space = 3 + 256 + 2  # the space has a token of its own, after the control tokens
    tokens = [space if token == 3 else token for token in tokens]
    rows, targets = [], []
    for number in range(n_windows):
        window = tokens[number * N_CTX : (number + 1) * N_CTX]
        opened = [BOS, *window[1:]]
        for at in range(N_CTX // 2, N_CTX - 1):
            logits = weights.logits(opened[: at + 1]).astype(np.float64)
            logits -= logits.max()
            rows.append(logits - np.log(np.exp(logits).sum()))
            targets.append(window[at + 1])
    return np.array(rows), np.array(targets)


def test_perplexity_is_what_numpy_computes(models):
    path, weights = models["one"]
    found, told = measure(path, n_windows=3)
    rows, targets = log_probabilities(weights, 3)
    nll = -rows[np.arange(len(targets)), targets]
    assert (found.n_windows, found.n_scored) == (3, len(targets))
    assert found.perplexity == pytest.approx(np.exp(nll.mean()), rel=5e-3)
    first = nll[: len(nll) // 3]
    assert found.running[0] == pytest.approx(np.exp(first.mean()), rel=5e-3)
    assert found.running[-1] == found.perplexity
    error = np.exp(nll.mean()) * nll.std() / np.sqrt(len(nll) - 1)
    assert found.perplexity_error == pytest.approx(error, rel=2e-2)
    assert found.tokens_per_s > 0
    done = [moment.n_done for moment in told]
    assert (done, told[-1].n_done) == (sorted(done), told[-1].n_bytes)


def test_divergence_is_what_numpy_computes(models):
    (path, weights), (source, base) = models["one"], models["other"]
    found, _ = measure(path, source, n_windows=2)
    own, targets = log_probabilities(weights, 2)
    others, _ = log_probabilities(base, 2)
    kld = (np.exp(others) * (others - own)).sum(axis=1)
    assert found.kld_mean == pytest.approx(kld.mean(), rel=1e-2)
    assert found.kld_p99 == pytest.approx(np.percentile(kld, 99), rel=1e-2)
    same = (own.argmax(axis=1) == others.argmax(axis=1)).mean()
    assert found.top_1 == pytest.approx(same, abs=1 / len(targets))
    nll = -others[np.arange(len(targets)), targets]
    assert found.source_perplexity == pytest.approx(np.exp(nll.mean()), rel=5e-3)
    assert len(found.source_running) == 2


def test_a_model_is_no_distance_from_itself(models):
    path, _ = models["one"]
    found, _ = measure(path, path, n_windows=1)
    assert (found.kld_mean, found.top_1) == (0, 1)
    assert found.source_perplexity == found.perplexity


def test_a_window_longer_than_a_step_is_read_in_several(models):
    """Scored are the same tokens, whatever the steps that they are computed in."""
    from runner.engine.llama import evaluate

    path, _ = models["one"]
    whole, _ = measure(path, n_windows=2)
    usual = evaluate._N_BATCH
    evaluate._N_BATCH = 20  # begins, and ends, inside of what is scored
    try:
        cut, _ = measure(path, n_windows=2)
    finally:
        evaluate._N_BATCH = usual
    assert cut.n_scored == whole.n_scored
    assert cut.perplexity == pytest.approx(whole.perplexity, rel=1e-3)


def test_a_text_that_is_too_short_says_by_how_much(models):
    path, _ = models["one"]
    with pytest.raises(InvalidRequest, match="the text has 12 tokens; windows of 32 need 64"):
        measure(path, text="eleven char")


def test_models_with_other_tokens_cannot_be_compared(models, tmp_path):
    wide = wide_llama(tmp_path / "wide.gguf", more=("the",))
    with pytest.raises(InvalidRequest, match="other tokens") as caught:
        measure(models["one"][0], wide)
    assert caught.value.param == "source"


def test_a_file_that_is_no_model_is_an_error_of_words(tmp_path):
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(WorkerError, match="could not load"):
        measure(path)

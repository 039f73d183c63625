"""A small model guesses for a large one: the large one's answer comes out, in fewer steps."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from runner.domain.options import SamplingParams
from runner.engine.backend import DecodeFailed, NoSlot
from runner.engine.draft_model import DraftModel
from runner.errors import WorkerError
from runner.protocol.messages import Generate, Load, Outcome
from tests.engine.conftest import load
from tests.engine.running import Running
from tests.engine.test_speculate import REQUESTS, VOCABULARY, check
from tests.fakes.backend import FakeBackend
from tests.fakes.random_models import random_llama, random_mamba

GREEDY = SamplingParams(temperature=0, ignore_eos=True)


@settings(max_examples=40, deadline=None)
@given(
    REQUESTS,
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(64, 300),
    st.lists(st.sampled_from([None, None, None, NoSlot, DecodeFailed]), max_size=30),
)
def test_whatever_it_guesses_and_however_it_fails_the_answers_are_right(
    requests, memory, n_seq_max, n_cells, faults
):
    """The draft model is of another mind, of too few cells, and fails now and then."""
    backend = FakeBackend(n_ctx=96, n_cells=400, n_batch=40, n_cold_max=1, memory=2, n_adapters=1)
    small = FakeBackend(
        n_ctx=64,
        n_cells=n_cells,
        n_batch=24,
        n_seq_max=n_seq_max,
        n_cold_max=1,
        memory=memory,
        faults=faults,
    )
    draft = DraftModel(small, VOCABULARY)
    with Running(VOCABULARY, backend, draft=draft) as running:
        asked = [
            Generate(**{f: getattr(r, f) for f in r.__struct_fields__} | {"request_id": f"r{i}"})
            for i, r in enumerate(requests)
        ]
        for request in asked:
            running.send(request)
        for request in asked:
            running.ending(request.request_id)
            check(running, request, 2, 96)
    draft.close()
    backend.check_empty()
    assert small.n_used() == 0, "what ended is forgotten"
    assert small.n_open_samplers == 0


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model, the same again, one of another mind, and one that cannot guess."""
    folder = tmp_path_factory.mktemp("drafts")
    random_llama(folder / "large.gguf", seed=1)
    random_llama(folder / "other.gguf", seed=2, n_layer=1)
    random_mamba(folder / "mamba.gguf")
    return folder


def loaded(path, draft=None):
    from runner.engine.llama.draft import load_draft

    sizes = {"n_ctx": 512, "n_cells": 1024, "n_seq_max": 2, "n_batch": 128, "n_threads": 1}
    backend = load(path, **sizes)
    try:
        asked = Load("load", str(path), draft_path=str(draft), **sizes)
        return backend, load_draft(asked, backend) if draft else None
    except BaseException:
        backend.close()
        raise


def answered(path, draft=None, **fields) -> Outcome:
    backend, guesser = loaded(path, draft)
    asked = {"prompt": "Why?", "max_tokens": 60, "wants_tokens": True} | fields
    with Running(backend.model, backend, draft=guesser) as running:
        outcome = running.ask(Generate("r", GREEDY, **asked))
    backend.close()
    assert isinstance(outcome, Outcome)
    return outcome


def test_a_model_agrees_with_itself(models):
    """Its own twin guesses everything right, and the tokens are those without it."""
    path = models / "large.gguf"
    alone = answered(path, speculate="off")
    helped = answered(path, path, speculate="on", n_draft_max=4)
    assert helped.tokens == alone.tokens
    assert alone.n_drafted == 0
    assert helped.n_accepted >= 0.9 * helped.n_drafted > 20


def test_a_model_of_another_mind_changes_nothing(models):
    """Wrong guesses are taken back."""
    path = models / "large.gguf"
    alone = answered(path, speculate="off")
    misled = answered(path, models / "other.gguf", speculate="on", n_draft_max=4)
    assert misled.tokens == alone.tokens
    assert misled.n_drafted > misled.n_accepted


def test_accepted_cells_hold_what_a_fresh_run_computes(models):
    """After right and wrong guesses the next token's logits are those of the whole text."""
    weights = random_llama(models / "again.gguf", seed=1)
    tokens = list(answered(models / "large.gguf", models / "other.gguf", speculate="on").tokens)
    for n in range(len(tokens) - 12, len(tokens)):
        logits = weights.logits(tokens[:n])
        assert logits[tokens[n]] >= np.max(logits) - 1e-3


def test_a_draft_model_of_another_kind_is_refused(models, tmp_path):
    """Tokens must mean the same, and wrong guesses must be possible to take back."""
    from tests.fakes.random_models import random_ranker

    with pytest.raises(WorkerError, match="tokens, the model has"):
        loaded(models / "large.gguf", random_ranker(tmp_path / "ranker.gguf"))
    with pytest.raises(WorkerError, match="cannot be cut"):
        loaded(models / "large.gguf", models / "mamba.gguf")

"""Loaded models, once for all tests of this folder that ask the real engine."""

from __future__ import annotations

import pytest

from runner.hub.packaged import find_starter
from runner.protocol.messages import Load
from tests.engine.running import Running
from tests.fakes.models import tiny_model

#: Small, so that sixteen sequences must give way to each other.
STARTER_CTX, STARTER_CELLS, STARTER_SEQS = 256, 512, 16


def load(path, **sizes):
    from runner.engine.llama.backend import LlamaBackend  # not for those who run no live test

    return LlamaBackend(Load("load", str(path), **sizes))


@pytest.fixture(scope="session")
def starter():
    """The starter model's backend; whoever uses it leaves the cache empty."""
    path = find_starter()
    assert path is not None, "the starter model is not installed"
    backend = load(
        path,
        n_ctx=STARTER_CTX,
        n_cells=STARTER_CELLS,
        n_seq_max=STARTER_SEQS,
        n_batch=128,
        n_threads=1,  # two spin for each other when others use the machine
    )
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A tiny model's backend, with 256 cells."""
    path = tiny_model(tmp_path_factory.mktemp("models") / "tiny.gguf", ends=True)
    backend = load(path, n_ctx=256, n_cells=256, n_seq_max=4, n_batch=256, n_threads=1)
    yield backend
    backend.close()


@pytest.fixture
def running(starter):
    """A loop over the starter model, with nothing in its cache."""
    starter.clear()
    with Running(starter.model, starter) as made:
        yield made
    starter.clear()


@pytest.fixture
def spelling(tiny):
    """A loop on the model that says the alphabet, byte by byte, and then ends: it is quick."""
    tiny.clear()
    with Running(tiny.model, tiny) as made:
        yield made
    tiny.clear()

"""A library with a tiny model in it, and scripted workers that serve it."""

from __future__ import annotations

import pytest

from runner.domain.name import ModelName
from runner.store.library import Library
from tests.fakes.decoder_folder import decoder_folder
from tests.fakes.models import tiny_model
from tests.fakes.random_models import random_llama


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("service") / "Tiny Model.gguf", n_ctx_train=8192)


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models")


@pytest.fixture
def folder(tmp_path):
    """Safetensors as a hub has them, with small random weights."""
    random_llama(tmp_path / "random.gguf")
    return decoder_folder(tmp_path / "random.gguf", tmp_path / "published")


@pytest.fixture
def name(library, tiny):
    """A model of the library."""
    name = ModelName.parse("tiny")
    list(library.import_file(tiny, name, provenance={"source": "file"}))
    return name

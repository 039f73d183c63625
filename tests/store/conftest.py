"""A library in a fresh folder, and small models to put in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.store.library import Library
from tests.fakes.gguf_files import write_model


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "models", lock_wait_s=0.2)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return write_model(tmp_path / "small.gguf")


@pytest.fixture
def other_file(tmp_path: Path) -> Path:
    return write_model(tmp_path / "other.gguf", n_vocab=128, seed=1)


@pytest.fixture
def put(library: Library):
    """Imports a file under a name and returns the progress."""

    def run(path: Path, name: str, **kwargs) -> list[Progress]:
        kwargs.setdefault("provenance", {"source": "test"})
        return list(library.import_file(path, ModelName.parse(name), **kwargs))

    return run

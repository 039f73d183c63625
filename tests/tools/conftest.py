"""Models of every storage type, made once."""

from __future__ import annotations

import pytest

from tests.fakes.wide_models import wide_llama


@pytest.fixture(scope="session")
def wide(tmp_path_factory):
    """A random model in F16, wide enough for all types."""
    return wide_llama(tmp_path_factory.mktemp("wide") / "wide.gguf")

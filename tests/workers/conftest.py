"""Models for each test."""

from __future__ import annotations

import pytest

from tests.workers.pieces import Models


@pytest.fixture
def models(tmp_path):
    return Models(tmp_path)

"""The bench of a step's own cost runs, and counts only what is outside the decode call."""

from __future__ import annotations

import time

import pytest

from bench.step import one_round
from tests.engine.conftest import load
from tests.fakes.models import tiny_model


@pytest.mark.live
def test_a_round_takes_some_time_outside_llama_cpp_and_less_than_all(tmp_path):
    path = tiny_model(tmp_path / "tiny.gguf")
    backend = load(path, n_ctx=256, n_cells=512, n_seq_max=3, n_batch=64, n_threads=1)
    began = time.perf_counter()
    cost_us = one_round(backend, 3, 60)
    elapsed_s = time.perf_counter() - began
    assert 0 < cost_us * 44 < elapsed_s * 1e6
    backend.close()

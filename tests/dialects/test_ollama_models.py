"""How models are told in Ollama's words."""

from __future__ import annotations

import dataclasses
import json
import math
import time

import pytest
from hypothesis import given, strategies as st

from runner.dialects import ollama_models
from runner.dialects.ollama import rfc3339
from runner.domain.loading import LoadMoment, LoadStage
from runner.domain.model import RunningModel
from runner.domain.progress import Progress
from tests.fakes.service import model_info


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (999, "999"), (1000, "1K"), (133_700_000, "133.70M"), (7_000_000_000, "7B"),
     (134_515_008, "134.52M"), (1_500_000_000, "1.5B"), (2_000_000, "2M")],
)  # fmt: skip
def test_counts_of_weights_are_short(number, shown):
    assert ollama_models.human_number(number) == shown


def test_tags_come_newest_first_with_all_that_clients_read():
    models = [model_info("old", modified_at=1.0), model_info("new", modified_at=1_700_000_000.5)]
    first, second = json.loads(ollama_models.tags(models))["models"]
    assert (first["name"], second["name"]) == ("new:latest", "old:latest")
    assert first["modified_at"] == "2023-11-14T22:13:20.500000000Z"
    assert first["digest"] == "ab" * 32
    assert first["details"] == {
        "parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
        "parameter_size": "134.52M", "quantization_level": "Q4_1", "context_length": 8192,
        "embedding_length": 576, "parameter_count": 134515008,
    }  # fmt: skip


@given(st.floats(0, 1e300) | st.just(math.inf))
def test_any_end_of_a_stay_can_be_told(expires_at):
    running = RunningModel(model_info(), 1, 0, 4096, expires_at, 1, 0, 0, 0)
    (told,) = json.loads(ollama_models.ps([running], now=1_700_000_000.0))["models"]
    assert told["expires_at"] < "2317"


def test_what_is_on_its_way_is_told_where_there_is_any():
    moment = LoadMoment(model_info(), LoadStage.UPLOAD, 0.429)
    told = json.loads(ollama_models.ps([], now=0.0, loading=[moment]))
    row = {"model": str(model_info().name), "status": "upload", "percent": 43}
    assert told == {"models": [], "loads": [row]}
    assert json.loads(ollama_models.ps([], now=0.0)) == {"models": []}


@given(st.text(), st.integers(0), st.integers(0), st.text(max_size=4))
def test_a_moment_of_a_pull_leaves_out_what_it_does_not_know(phase, n_done, n_bytes, digest):
    told = json.loads(
        ollama_models.ProgressEncoder().encode(Progress(phase, n_done, n_bytes, digest))
    )
    assert told.get("completed", 0) == n_done
    assert told.get("total", 0) == n_bytes
    assert ("digest" in told) == bool(digest)
    assert "name" not in told


def test_a_line_break_in_a_name_cannot_break_the_line():
    moment = dataclasses.replace(Progress("success"), name="a\u2028\nb")
    assert len(ollama_models.progress(moment).decode().splitlines()) == 1


@given(st.integers(0, 9_223_372_036_854_775_807))
def test_a_moment_is_told_as_the_c_library_has_it(time_ns):
    second, nanos = divmod(time_ns, 10**9)
    told = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    assert rfc3339(time_ns) == f"{told}.{nanos:09d}Z"

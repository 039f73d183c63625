"""``corral quantize``, ``perplexity`` and ``bench`` before a daemon that says what it is told."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from runner.cli.bench import bar_charts, chart
from runner.cli.perplexity import report_rows
from runner.dialects.measuring import benches
from runner.domain.name import ModelName
from tests.fakes.making import BENCH, QUALITY

PLAN = {
    "dry_run": True,
    "ok": True,
    "model": "qwen3:f16",
    "quantization": "F16",
    "size": 8_000_000_000,
    "free": 50_000_000_000,
    "targets": [
        {
            "type": "Q4_K_M",
            "name": "qwen3:q4_k_m",
            "size": 2_500_000_000,
            "memory": 3_000_000_000,
            "context": 4096,
            "bits_per_weight": 4.9,
            "tensors": {"Q4_K": 200},
            "exists": False,
        }
    ],
    "problem": "",
    "hint": "",
}


def job(state, **more):
    return {
        "id": 7,
        "kind": "quantize",
        "name": "qwen3:q4_k_m",
        "state": state,
        "phase": "quantizing to Q4_K_M",
        "n_done": 5,
        "n_bytes": 10,
        "error": None,
        "started": "2030-01-02T03:04:05Z",
        "finished": None,
        **more,
    }


@pytest.fixture
def says(daemon):
    def say(path, reply):
        daemon.script.failures[path] = (200, reply)

    return say


def test_a_plan_tells_size_and_memory(corral, says):
    says("/api/quantize", PLAN)
    done = corral("quantize", "qwen3:f16", "--dry-run")
    assert done.returncode == 0
    assert "Q4_K_M    qwen3:q4_k_m    2.5 GB    31%          3 GB      4.90" in done.out
    assert "the disk has 50 GB free" in done.err


def test_a_plan_that_cannot_be_done_says_why_and_fails(corral, says):
    says("/api/quantize", {**PLAN, "ok": False, "problem": "tensor 'x' is bad", "hint": "mend it"})
    done = corral("quantize", "qwen3:f16", "q8_0", "--dry-run")
    assert done.returncode == 1
    assert "tensor 'x' is bad" in done.err
    assert "mend it" in done.err


def test_a_plan_as_json_is_the_daemons(corral, says):
    says("/api/quantize", PLAN)
    assert json.loads(corral("quantize", "qwen3:f16", "--dry-run", "--json").out) == PLAN


def test_a_job_is_followed_to_its_end(corral, says):
    says("/api/quantize", job("running"))
    says("/api/jobs/7", job("done"))
    done = corral("quantize", "qwen3:f16", "Q4_K_M")
    assert (done.returncode, done.out) == (0, "")
    assert "qwen3:q4_k_m is ready; try: corral run qwen3:q4_k_m" in done.err


def test_a_job_that_fails_says_why(corral, says):
    says("/api/quantize", job("running"))
    error = {"code": "disk_full", "message": "no room for tensor 'x'", "hint": "make room"}
    says("/api/jobs/7", job("failed", error=error))
    done = corral("quantize", "qwen3:f16")
    assert done.returncode == 1
    assert "no room for tensor 'x'" in done.err


def test_a_detached_job_is_only_begun(corral, says):
    says("/api/quantize", job("running"))
    done = corral("quantize", "qwen3:f16", "--detach")
    assert (done.returncode, "job 7 makes qwen3:q4_k_m" in done.err) == (0, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("Q9",), "no type 'Q9'"),
        (("--tensor", "ffn"), "PATTERN=TYPE"),
        (("--imatrix", "nowhere.gguf"), "there is no file"),
    ],
)
def test_words_that_cannot_be_followed_are_told_before_anything_is_asked(corral, words, told):
    done = corral("quantize", "qwen3:f16", *words)
    assert done.returncode in (1, 2)
    assert told in done.err


def test_a_report_has_what_quantizing_cost():
    rows = dict(report_rows(QUALITY))
    assert rows["perplexity"] == "12.5000 ± 0.2500"
    assert rows["KL divergence, 99%"] == "0.12500"
    assert rows["same first choice"] == "96.00%"
    alone = dict(report_rows(replace(QUALITY, source="", kld_mean=None)))
    assert "KL divergence" not in alone


def test_a_chart_has_a_bar_for_each_point_and_the_change():
    slower = replace(BENCH.rows[0], prompt_tps=50.25)
    lines = chart(BENCH, replace(BENCH, rows=(slower,)), is_unicode=False)
    first = next(line for line in lines if "depth 0" in line)
    assert first.endswith("100.50  +100.0%")
    several = [line for line in lines if "4 at once" in line]
    assert several[0].count("#") == 30
    assert not several[0].endswith("%")
    assert len(several) == 2


def test_a_picture_has_the_bars_of_both_runs_and_gaps_where_the_other_has_none():
    slower = replace(BENCH.rows[0], prompt_tps=50.25)
    prompts, answers = bar_charts("tiny", BENCH, replace(BENCH, rows=(slower,)))
    assert prompts.groups == answers.groups == ["depth 0", "4 at once"]
    assert prompts.title == "prompt, 256 tokens, tokens/s"
    assert list(answers.rows[0].values) == [20.25, 60.0]
    now, then = prompts.rows
    assert (list(now.values), then.values[0]) == ([100.5, 120.0], 50.25)
    assert math.isnan(then.values[1])


def test_a_bench_is_drawn_into_a_file(corral, says, tmp_path):
    says("/api/bench?model=tiny", json.loads(benches(ModelName.parse("tiny"), [BENCH])))
    done = corral("bench", "tiny", "--last", "--plot", str(tmp_path / "bars.png"))
    assert (done.returncode, "drew " in done.err) == (0, True)
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")
    lost = corral("bench", "tiny", "--last", "--plot", str(tmp_path / "no" / "bars.png"))
    assert lost.returncode == 1
    assert "--last --plot FILE" in lost.err

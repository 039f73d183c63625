"""Quantizing, measuring and making from safetensors by the real daemon, and the daemon killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import psutil
import pytest

from tests.fakes.decoder_folder import decoder_folder
from tests.fakes.random_models import random_llama
from tests.fakes.wide_models import wide_llama
from tests.real_daemon import RealDaemon, command, wait_for

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    """A daemon of its own with a model in F16 that takes a while to quantize."""
    folder = tmp_path_factory.mktemp("making")
    with RealDaemon(folder / "home") as daemon:
        daemon.take_in(wide_llama(folder / "wide.gguf", n_layer=24), "wide:f16")
        yield daemon


def corral(daemon, *words, cwd=None):
    env = daemon.env | {"CORRAL_HOST": daemon.address}
    return subprocess.run(
        command(*words), env=env, capture_output=True, text=True, timeout=110, cwd=cwd
    )


def job_of(daemon, job_id):
    return daemon.ask("GET", f"/api/jobs/{job_id}").json


def over(daemon, job_id):
    """Wait for the end of a job, and return it."""
    return wait_for(
        lambda: (one := job_of(daemon, job_id))["finished"] and one, "the job's end", 100
    )


def left_over(daemon):
    return list((daemon.home / "models" / "partial").glob("*"))


def test_a_model_is_quantized_and_measured_from_the_command_line(maker):
    done = corral(maker, "quantize", "wide:f16", "Q8_0")
    assert done.returncode == 0, done.stderr
    assert "wide:q8_0 is ready" in done.stderr
    text = "the use of a book, without pictures or conversations, is what? " * 20
    done = subprocess.run(
        command("perplexity", "wide:q8_0", "-", "--source", "wide:f16", "--window", "64"),
        input=text,
        env=maker.env | {"CORRAL_HOST": maker.address},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    assert "KL divergence" in done.stdout
    shown = maker.ask("POST", "/api/show", {"model": "wide:q8_0"}).json
    assert shown["quality"]["source"] == "wide:f16"
    assert 0 < shown["quality"]["kld_mean"] < 1
    assert "Quality" in corral(maker, "show", "wide:q8_0").stdout


def test_a_job_is_seen_in_the_list_and_cancelled_without_a_trace(maker):
    begun = maker.ask("POST", "/api/quantize", {"model": "wide:f16", "types": ["Q5_K_M"]})
    assert begun.status == 201, begun.body
    job_id = begun.json["id"]
    wait_for(lambda: job_of(maker, job_id)["n_done"], "progress", 60)
    assert job_id in [one["id"] for one in maker.ask("GET", "/api/jobs").json["jobs"]]
    assert maker.ask("POST", f"/api/jobs/{job_id}/pause").json["state"] == "paused"
    assert maker.ask("POST", f"/api/jobs/{job_id}/resume").json["state"] == "running"
    maker.ask("DELETE", f"/api/jobs/{job_id}")
    assert over(maker, job_id)["state"] == "cancelled"
    wait_for(lambda: not left_over(maker), "an empty folder")
    assert maker.ask("POST", "/api/show", {"model": "wide:q5_k_m"}).status == 404


def test_a_model_is_made_in_another_type_though_its_client_leaves(maker):
    body = {"model": "left", "from": "wide:f16", "quantize": "Q6_K", "system": "S"}
    with maker.stream("/api/create", body) as answer:
        while b"quantizing" not in (line := answer.line()):
            assert line, "it ended before it quantized"
    (job,) = [
        one for one in maker.ask("GET", "/api/jobs").json["jobs"] if one["name"] == "left:latest"
    ]
    assert job["kind"] == "create"
    assert over(maker, job["id"])["state"] == "done"
    assert maker.ask("POST", "/api/show", {"model": "left"}).json["system"] == "S"
    assert not left_over(maker)


def test_the_daemon_never_loads_the_engine(maker):
    maps = psutil.Process(maker.pid).memory_maps()
    assert not any("libllama" in one.path or "libggml" in one.path for one in maps)


def test_a_folder_of_safetensors_becomes_a_model_that_answers(maker, tmp_path):
    random_llama(tmp_path / "random.gguf")
    folder = decoder_folder(tmp_path / "random.gguf", tmp_path / "published")
    (tmp_path / "Modelfile").write_text(f"FROM {folder}\nPARAMETER temperature 0\n")
    done = corral(maker, "create", "published", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    body = {"model": "published", "prompt": "ab", "stream": False, "options": {"num_predict": 4}}
    reply = maker.ask("POST", "/api/generate", body)
    assert reply.json["eval_count"] == 4, reply.body


def test_an_architecture_that_is_not_known_is_told_with_its_line(maker, tmp_path):
    random_llama(tmp_path / "random.gguf")
    folder = decoder_folder(tmp_path / "random.gguf", tmp_path / "published")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["Mamba"]}))
    (tmp_path / "Modelfile").write_text(f"FROM {folder}\n")
    done = corral(maker, "create", "strange", cwd=tmp_path)
    assert done.returncode == 1
    assert "no converter for the architecture 'Mamba'" in done.stderr
    assert maker.ask("POST", "/api/show", {"model": "strange"}).status == 404


@pytest.mark.skipif(os.name == "nt", reason="the test kills by signals")
def test_a_daemon_that_is_killed_leaves_nothing_half_made_and_the_next_begins_again(tmp_path):
    daemon = RealDaemon(tmp_path / "home").start()
    daemon.take_in(wide_llama(tmp_path / "wide.gguf", n_layer=24), "wide:f16")
    job_id = daemon.ask("POST", "/api/quantize", {"model": "wide:f16"}).json["id"]
    wait_for(lambda: job_of(daemon, job_id)["n_done"], "progress", 60)
    (tool,) = [
        child for child in psutil.Process(daemon.pid).children() if "_tool" in child.cmdline()
    ]
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.process.wait()
    wait_for(lambda: not tool.is_running(), "the tool's end", 30)
    assert left_over(daemon), "killed in the middle"
    with daemon:
        assert over(daemon, job_id)["state"] == "done"
        names = {one["name"] for one in daemon.ask("GET", "/api/tags").json["models"]}
        assert names == {"wide:f16", "wide:q4_k_m"}
        assert left_over(daemon) == []

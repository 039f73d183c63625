"""What ``corral doctor`` finds, with the real engine and a library of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from dataclasses import replace

import huggingface_hub.constants  # noqa: F401 - it reads HF_HUB_OFFLINE once: not in a test that sets it
import pytest

from runner.config import Settings
from runner.daemon.doctor import examine, features, judge_devices, judge_disk
from runner.domain.check import State
from runner.domain.machine import Device
from runner.domain.name import ModelName
from runner.paths import find_paths
from runner.store.library import Library
from tests.fakes.models import tiny_model
from tests.real_daemon import ROOT, command, environment

CPU = Device("CPU", "cpu", "a CPU", 16 * 10**9, 8 * 10**9)


@pytest.fixture
def paths(tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("CORRAL_HOME", str(tmp_path))
    monkeypatch.setenv("CORRAL_HOST", f"127.0.0.1:{port}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return find_paths()


def by_name(checks, name):
    return [check for check in checks if check.name == name]


def test_the_engine_s_own_words_are_told_without_their_noise():
    told = features("llama-cpp-python 0.3.36; CPU : SSE3 = 1 | AVX = 1 | OPENMP = 1 | ")
    assert told == "llama-cpp-python 0.3.36; CPU: SSE3 AVX OPENMP"


def test_a_card_that_the_build_cannot_use_is_told_with_the_command():
    _, card = judge_devices([CPU], ["NVIDIA"])
    assert card.state is State.WARN
    assert "NVIDIA" in card.message
    assert 'CMAKE_ARGS="-DGGML_CUDA=on' in card.fix


def test_a_card_that_is_used_is_no_matter():
    checks = [*judge_devices([CPU, replace(CPU, id="CUDA0")], ["NVIDIA"])]
    assert [check.state for check in checks] == [State.OK, State.OK]
    assert checks[1].message == "CUDA0: a CPU, 8.0 of 16.0 GB free"


def test_a_device_that_is_not_used_or_not_there_is_told_so():
    off = replace(CPU, id="CUDA1", is_used=False)
    gone = replace(CPU, id="10.0.0.5:11435", kind="rpc", is_used=False, note="out of reach")
    first, second = judge_devices([off, gone], [])
    assert (first.state, first.message[-8:]) == (State.OK, "not used")
    assert (second.state, second.message) == (State.WARN, "10.0.0.5:11435: out of reach")
    assert "corral devices rm" in second.fix


def test_a_fresh_home_is_in_order(paths):
    checks = [*examine(paths)]
    assert [c for c in checks if c.state is State.FAIL] == []
    names = {"settings", "engine", "devices", "memory", "disk", "daemon", "store", "hubs"}
    assert {check.name for check in checks} == names
    (engine,) = by_name(checks, "engine")
    assert "llama-cpp-python" in engine.message
    assert all("HF_HUB_OFFLINE" in check.message for check in by_name(checks, "hubs"))
    assert not paths.models.exists(), "it only looks"


def test_a_damaged_model_is_told_with_its_fix(paths, tmp_path):
    library = Library(paths.models)
    name = ModelName.parse("tiny")
    for _ in library.import_file(
        tiny_model(tmp_path / "tiny.gguf"), name, provenance={"source": "file"}
    ):
        pass
    blob = library.blobs.path(library.find(name).model.digest)
    blob.write_bytes(blob.read_bytes()[:-1])
    (store,) = by_name(examine(paths), "store")
    assert store.state is State.FAIL
    assert "corral repair tiny:latest" in store.fix


def test_a_silent_stranger_on_the_port_is_told(paths, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        monkeypatch.setenv("CORRAL_HOST", f"127.0.0.1:{port}")
        (daemon,) = by_name(examine(paths), "daemon")
    assert daemon.state is State.FAIL
    assert "says nothing" in daemon.message
    assert f"CORRAL_HOST=127.0.0.1:{port + 1}" in daemon.fix


def test_settings_that_cannot_be_understood_fail_each_and_the_rest_is_told(paths, monkeypatch):
    """The others count all the same: hubs are not asked where one says so."""
    monkeypatch.setenv("CORRAL_MAX_QUEUE", "many")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    paths.config_file.write_text('num_parallel = "all"\noffline = true\n')
    checks = [*examine(paths)]
    messages = {check.message: check for check in by_name(checks, "settings")}
    assert len(messages) == 2
    for message, check in messages.items():
        assert "want a whole number" in message
        assert check.state is State.FAIL
        assert "leave it out" in check.fix
    assert [check for check in checks if check.state is State.FAIL] == [*messages.values()]
    assert {"engine", "devices", "daemon"} <= {check.name for check in checks}
    assert all("was not asked" in check.message for check in by_name(checks, "hubs"))


def test_a_file_of_settings_that_is_none_fails_and_the_environment_counts(paths, monkeypatch):
    paths.config_file.write_text("offline = \n")
    monkeypatch.setenv("CORRAL_MODELS", str(paths.run))
    checks = [*examine(paths)]
    (settings,) = by_name(checks, "settings")
    assert (settings.state, settings.fix) == (State.FAIL, "mend or delete the file")
    assert str(paths.config_file) in settings.message
    assert str(paths.run) in by_name(checks, "disk")[0].message


def test_a_device_of_the_settings_that_there_is_not_fails(paths, monkeypatch):
    monkeypatch.setenv("CORRAL_DEVICES", "cuda9")
    own, missing = by_name(examine(paths), "devices")
    assert own.message.startswith("CPU: ")
    assert missing.state is State.FAIL
    assert "the setting devices: there is no device 'cuda9'" in missing.message
    assert "there are: CPU" in missing.fix


def test_a_folder_on_no_disk_is_not_called_full(paths, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: (0, 0, 0))
    (disk,) = judge_disk(paths, Settings())
    assert disk.state is State.WARN
    assert disk.message == f"how much is free for {paths.models} cannot be measured"
    assert "CORRAL_MODELS" in disk.fix


def test_a_folder_that_cannot_be_written_to_fails(paths):
    paths.models.write_text("a file")
    (disk,) = judge_disk(paths, Settings())
    assert disk.state is State.FAIL
    assert "cannot be written to" in disk.message
    assert "CORRAL_MODELS" in disk.fix


def test_the_command_needs_neither_a_daemon_nor_settings_that_can_be_read(tmp_path):
    env = environment(tmp_path, "127.0.0.1:1", HF_HUB_OFFLINE="1", CORRAL_NUM_PARALLEL="all")
    done = subprocess.run(command("doctor", "--json"), env=env, capture_output=True, timeout=120)
    checks = json.loads(done.stdout)
    assert done.returncode == 1
    failed = [check["message"] for check in checks if check["state"] == "fail"]
    assert failed == ["CORRAL_NUM_PARALLEL: want a whole number, not 'all'"]
    assert {"engine", "devices", "store"} <= {check["name"] for check in checks}
    assert not (tmp_path / "run").exists()

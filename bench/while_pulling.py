"""What a pull at full speed costs whoever else asks the daemon, and how much memory it takes.

    python bench/while_pulling.py --size 1024 --name while_pulling

A daemon pulls one file from a hub of ours on loopback, a process of its own, as fast as both can.
Meanwhile somebody asks for ``/api/version`` again and again, as before when nothing is pulled.
Linux only: memory is what ``/proc`` says of pages that are the process's own.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.report import save
from tests.real_daemon import RealDaemon

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20
_NAME = "hf.co/owner/Large-GGUF:Q8_0"
_PAUSE_S = 0.005
_QUIET_S = 5.0

#: A hub with one large model, in a process of its own: it shares no lock with whoever asks.
_HUB = """
import hashlib, os, sys
from pathlib import Path
from tests.fakes.file_server import FileServer
from tests.fakes.hub import FakeHub
from tests.fakes.models import tiny_model
content = tiny_model(Path(sys.argv[1]) / "tiny.gguf").read_bytes() + os.urandom(int(sys.argv[2]))
digest = hashlib.sha256(content).hexdigest()
with FakeHub() as hub, FileServer({"/" + digest: content}) as store:
    store.piece_bytes = 1 << 20
    hub.store_url = store.origin
    hub.add("owner/Large-GGUF", {"large-Q8_0.gguf": content}).sha256 = lambda path: digest
    print(hub.url, flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody asks again and again.

    Attributes:
        n: How often.
        p50_ms: What half of the answers took at most.
        p99_ms: What all but one of a hundred took at most.
        most_ms: What the slowest took.
        own_mib: Most memory of the daemon's own meanwhile.
    """

    n: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    own_mib: float


def main() -> int:
    """Measure, print, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="of the file, in MiB")
    parser.add_argument("--name", default="", help="keep the result in results/NAME.json")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="corral-pull-") as folder,
        _hub(folder, asked.size) as url,
    ):
        hubs = {"HF_ENDPOINT": url, "MODELSCOPE_ENDPOINT": url}
        with RealDaemon(Path(folder) / "home", **hubs) as daemon:
            daemon.ask("GET", "/api/search?q=large")  # imports the hubs' clients
            with _asking(daemon) as quiet:
                time.sleep(_QUIET_S)
            began = time.monotonic()
            with _asking(daemon) as busy:
                last = daemon.ask("POST", "/api/pull", {"model": _NAME}).lines[-1]
            seconds = time.monotonic() - began
    assert last["status"] == "success", last
    print(f"{asked.size} MiB in {seconds:.1f} s, {asked.size / seconds:.0f} MiB/s")
    found = {"quiet": asdict(quiet[0]), "pulling": asdict(busy[0])}
    for when, row in found.items():
        print(f"{when:8}" + "".join(f"  {name} {value:.1f}" for name, value in row.items()))
    if asked.name:
        save(asked.name, {"size_mib": asked.size, "seconds": seconds, **found})
    return 0


@contextmanager
def _hub(folder: str, n_mib: int) -> Iterator[str]:
    """Serve the model; yields the hub's address."""
    hub = subprocess.Popen(
        [sys.executable, "-c", _HUB, folder, str(n_mib * MIB)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert hub.stdin is not None
    assert hub.stdout is not None
    try:
        yield hub.stdout.readline().strip()
    finally:
        hub.stdin.close()
        hub.wait()


@contextmanager
def _asking(daemon: RealDaemon) -> Iterator[list[Asked]]:
    """Ask for the version during the block; what came of it is in the list afterwards."""
    over, times, memory = threading.Event(), [], []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port)
        while not over.wait(_PAUSE_S):
            began = time.perf_counter()
            connection.request("GET", "/api/version")
            connection.getresponse().read()
            times.append((time.perf_counter() - began) * 1e3)
            memory.append(_own_mib(daemon.pid))
        connection.close()

    found: list[Asked] = []
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
    hundredths = statistics.quantiles(times, n=100)
    found.append(Asked(len(times), hundredths[49], hundredths[98], max(times), max(memory)))


def _own_mib(pid: int) -> float:
    """Memory of a process that is no file's, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    sys.exit(main())

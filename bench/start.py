"""What Corral costs when it does little: a whole ``corral list``, and a daemon left alone.

    python bench/start.py --name start

Three measurements of one daemon with the starter model in its library: whole-process time of
``corral list``; memory and CPU of the idle daemon without a loaded model; memory of a worker
that has one.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from bench import pair, report
from bench.figures import spread
from bench.servers import CannotStart, Limits, Server, corral, post

MIB = 2**20


@dataclasses.dataclass(frozen=True, slots=True)
class Idle:
    """A process nobody asks anything.

    Attributes:
        seconds: How long it was watched.
        cpu_s: CPU time it used meanwhile.
        rss_mib: Resident memory at the end.
    """

    seconds: float
    cpu_s: float
    rss_mib: float


def list_times(server: Server, home: Path, n_runs: int) -> list[float]:
    """Return the seconds that ``corral list`` takes from start to exit, first run left out."""
    host, port = server.address
    environ = os.environ | {"CORRAL_HOME": str(home), "CORRAL_HOST": f"{host}:{port}"}
    command = Path(sys.executable).parent / "corral"
    found = []
    for _ in range(n_runs + 1):
        started = time.perf_counter()
        subprocess.run([command, "list"], check=True, stdout=subprocess.DEVNULL, env=environ)
        found.append(time.perf_counter() - started)
    return found[1:]


def watch(process: psutil.Process, seconds: float) -> Idle:
    """Watch ``process`` do nothing."""
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    cpu_s = sum(process.cpu_times()[:2]) - before
    return Idle(seconds, cpu_s, process.memory_info().rss / MIB)


def worker_mib(server: Server) -> float:
    """Load the model by a short request; returns its worker's resident memory in MiB."""
    url = f"http://{server.address[0]}:{server.address[1]}/api/generate"
    post(
        url, {"model": server.model, "prompt": "Hi", "stream": False, "options": {"num_predict": 8}}
    )
    workers = server.process.children()
    if len(workers) != 1:
        raise CannotStart(f"expected one worker, found {len(workers)}")
    return float(workers[0].memory_info().rss / MIB)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps."""
    limits = Limits(n_threads=os.cpu_count() or 1, n_streams=16, n_ctx=4096)
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder:
        home = Path(folder) / "home"
        with corral(limits, home, Path(folder) / "log") as server:
            times = list_times(server, home, args.runs)
            median_ms = 1000 * statistics.median(times)
            print(f"corral list     {median_ms:7.1f} ms  ±{100 * spread(times):.1f} %")
            idle = watch(server.process, args.seconds)
            print(
                f"idle daemon     {idle.rss_mib:7.1f} MiB  {idle.cpu_s:.2f} s CPU in "
                f"{idle.seconds:.0f} s"
            )
            worker = worker_mib(server)
            loaded = server.process.memory_info().rss / MIB
            print(f"worker          {worker:7.1f} MiB  (the mapped model file included)")
            print(f"daemon with it  {loaded:7.1f} MiB")
    return {
        "versions": report.versions("corral", "llama-cpp-python"),
        "list_s": times,
        "idle_daemon": dataclasses.asdict(idle),
        "worker_mib": worker,
        "daemon_with_worker_mib": loaded,
    }


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=21, help="of corral list")
    parser.add_argument("--seconds", type=float, default=60.0, help="to watch the idle daemon")
    parser.add_argument("--name", help="write bench/results/NAME.json")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(pair.main(run, options(sys.argv[1:])))

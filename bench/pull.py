"""How long a download takes, beside ``curl`` with ``sha256sum`` and ``hf_hub_download``.

    python bench/pull.py --size 1024 --rounds 5 --name pull

A file server of ours serves one file on loopback; each round fetches it once in each way, one
connection each, the order alternating.  What counts is the ratio within a round.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.report import save

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20
_PATH = "/owner/model/resolve/main/model.gguf"

#: Serves one file in a process of its own, so that it shares no lock with whoever is measured.
_SERVER = """
import sys
from pathlib import Path
from tests.fakes.file_server import FileServer
with FileServer({sys.argv[1]: Path(sys.argv[2]).read_bytes()}) as server:
    server.piece_bytes = 1 << 20
    print(server.origin, flush=True)
    sys.stdin.read()
"""
_OURS = """
import sys
from pathlib import Path
from runner.hub.download import fetch
from runner.hub.source import RemoteFile
from runner.hub.worker import Manner
from runner.store.arrival import open_arrival
url, folder, n_bytes, sha256, n_ranges = sys.argv[1:]
file = RemoteFile("model.gguf", url, False, int(n_bytes), sha256)
arrival = open_arrival(Path(folder), "sha256:" + sha256, file.n_bytes)
steps = fetch(file, arrival, Manner(n_ranges=int(n_ranges)))
try:
    while True:
        next(steps)
except StopIteration as end:
    assert end.value[0] == "sha256:" + sha256
arrival.close()
"""
_THEIRS = """
import sys
from huggingface_hub import hf_hub_download
hf_hub_download("owner/model", "model.gguf", cache_dir=sys.argv[1])
"""


def main() -> int:
    """Measure, print a table, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="of the file, in MiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--name", default="", help="keep the result in results/NAME.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="corral-pull-") as folder:
        times = _measure(Path(folder), asked.size * MIB, asked.rounds)
    for way, seconds in times.items():
        mid = statistics.median(seconds)
        print(f"{way:24} {mid:7.3f} s  {asked.size / mid:8.0f} MiB/s")
    ours = times["corral, 1 range"]
    for way in ("curl + sha256sum", "hf_hub_download"):
        ratios = [theirs / own for theirs, own in zip(times[way], ours, strict=True)]
        print(f"speed, ours to {way}: {statistics.median(ratios):.2f}")
    if asked.name:
        save(asked.name, {"size_mib": asked.size, "seconds": times})
    return 0


def _measure(folder: Path, n_bytes: int, n_rounds: int) -> dict[str, list[float]]:
    content = folder / "content"
    digest = hashlib.sha256()
    with content.open("wb") as file:
        for left in range(n_bytes, 0, -16 * MIB):
            piece = os.urandom(min(left, 16 * MIB))
            digest.update(piece)
            file.write(piece)
    environ = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, _PATH, str(content)],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        origin = server.stdout.readline().strip()
        environ |= {"HF_ENDPOINT": origin, "HF_HUB_DISABLE_XET": "1"}
        ways = _ways(folder / "out", origin + _PATH, n_bytes, digest.hexdigest(), environ)
        times: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(n_rounds + 1):
            for way in sorted(ways, reverse=bool(number % 2)):
                shutil.rmtree(folder / "out", ignore_errors=True)
                (folder / "out").mkdir()
                began = time.monotonic()
                ways[way]()
                if number:  # the first round warms everything up
                    times[way].append(time.monotonic() - began)
        return times
    finally:
        server.stdin.close()
        server.wait()


def _ways(
    out: Path, url: str, n_bytes: int, sha256: str, environ: dict[str, str]
) -> dict[str, Callable[[], object]]:
    def run(*command: str) -> None:
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)

    def ours(n_ranges: int) -> Callable[[], object]:
        words = (url, str(out), str(n_bytes), sha256, str(n_ranges))
        return lambda: run(sys.executable, "-c", _OURS, *words)

    def curl() -> None:
        run("curl", "-s", "-o", str(out / "file"), url)
        run("sha256sum", str(out / "file"))

    return {
        "corral, 1 range": ours(1),
        "corral, 4 ranges": ours(4),
        "curl + sha256sum": curl,
        "hf_hub_download": lambda: run(sys.executable, "-c", _THEIRS, str(out)),
    }


if __name__ == "__main__":
    sys.exit(main())

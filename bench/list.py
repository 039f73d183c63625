"""How long ``list`` takes with many models: anew, first in a process, and when it has seen them.

    PYTHONPATH=. python -m bench.list --models 10000

The library is made in a temporary folder: as many manifests, each with a blob of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from runner.domain.name import ModelName
from runner.store import manifests
from runner.store.library import Library
from runner.store.manifests import Layer
from tests.fakes.models import tiny_model

#: One process that lists a library again and again, and prints the milliseconds of each time.
_CHILD = """
import sys, time
from pathlib import Path
from runner.store.library import Library
library = Library(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    began = time.perf_counter()
    found = library.list()
    print((time.perf_counter() - began) * 1000, len(found))
"""


def make(models: Path, n_models: int) -> None:
    """Fill ``models`` with small models that differ in their names and blobs."""
    library = Library(models)
    first = ModelName.parse("bench")
    tiny = tiny_model(models.parent / "tiny.gguf")
    for _ in library.import_file(tiny, first, provenance={"source": "bench"}):
        pass
    manifest = library.find(first)
    for number in range(n_models - 1):
        digest = f"sha256:{number:064x}"
        library.blobs.path(digest).write_bytes(b"x")
        name = ModelName.parse(f"hf.co/owner-{number % 100}/model-{number}:Q4_K_M")
        path = models / "manifests" / manifests.relative_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        one = replace(manifest, name=name, layers=(Layer("model", digest, 1),))
        path.write_bytes(manifests.encode(one))


def main() -> int:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=10_000, metavar="N")
    parser.add_argument("--times", type=int, default=9, metavar="N")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        began = time.perf_counter()
        make(models, args.models)
        sys.stderr.write(f"made in {time.perf_counter() - began:.0f} s\n")
        command = [sys.executable, "-c", _CHILD, str(models), str(args.times)]
        anew = float(subprocess.run(command, check=True, capture_output=True).stdout.split()[0])
        firsts: list[float] = []
        again: list[float] = []
        for _ in range(3):
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows = [float(line.split()[0]) for line in out.splitlines()]
            firsts.append(rows[0])
            again += rows[1:]
        told = {
            "models": args.models,
            "anew_ms": round(anew, 1),
            "first_ms": round(statistics.median(firsts), 1),
            "again_ms": round(statistics.median(again), 1),
            "again_worst_ms": round(max(again), 1),
        }
        sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

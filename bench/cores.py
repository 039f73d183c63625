"""What other work on the same cores costs: two models at once, and a busy program beside one.

Corral holds two models in one daemon; against it stand two ``llama-server``s with a thread for
every core each, which is what they take by default.  Each round measures, one after the other and
with nothing else between: one stream alone, two streams of two models, and one stream beside a
program that keeps one core busy.

    python bench/cores.py --llama-server /path/to/llama-server --name cores
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench import pair, report
from bench.figures import paired_ratio
from bench.load import burst
from bench.serve import body, prompts
from bench.servers import (
    Limits,
    Server,
    corral,
    find_llama_server,
    llama_server,
    pull_file,
    starter_model,
)

#: A program that wants one core for itself, for as long as its input is open.
_BUSY = """
import sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), __import__("os")._exit(0)), daemon=True).start()
while True:
    sum(range(10000))
"""
_TWIN = "twin"


def twin_of(model: Path, folder: Path) -> Path:
    """Return a copy of a GGUF file that is another model: its name differs by one letter.

    Models with the same bytes would share one process.
    """
    content = bytearray(model.read_bytes())
    at = content.index(b"general.name") + len(b"general.name") + 4 + 8
    content[at] ^= 0x20  # a letter's case
    path = folder / "twin.gguf"
    path.write_bytes(content)
    return path


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """Two models to ask: of one daemon, or of two servers."""

    name: str
    models: tuple[Server, Server]


@contextlib.contextmanager
def sides(binary: str | None, limits: Limits) -> Iterator[tuple[Side, Side]]:
    """Run both sides until the block ends, ours first."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corral-bench-")))
        server, model = find_llama_server(binary), starter_model()
        twin = twin_of(model, folder)
        home = folder / "home"
        ours = stack.enter_context(corral(limits, home, folder / "corral.log"))
        token = json.loads((home / "run" / "daemon.json").read_text())["token"]
        pull_file(ours, twin, _TWIN, token)
        theirs = [
            stack.enter_context(llama_server(server, path, limits, folder / f"{path.stem}.log"))
            for path in (model, twin)
        ]
        yield (
            Side("corral", (ours, dataclasses.replace(ours, model=_TWIN))),
            Side("llama-server", (theirs[0], theirs[1])),
        )


@contextlib.contextmanager
def busy_program() -> Iterator[None]:
    """Keep one core busy with work that is none of ours until the block ends."""
    with subprocess.Popen([sys.executable, "-c", _BUSY], stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.kill()


def rates(servers: Sequence[Server], seed: str, n_tokens: int) -> list[float]:
    """Return the tokens a second of one stream from each model, all at the same time."""
    bodies = [
        body(server, prompts(f"{seed} {i}", 1, 20, 0)[0], n_tokens)
        for i, server in enumerate(servers)
    ]
    with ThreadPoolExecutor(len(servers)) as pool:
        asked = [pool.submit(burst, s.address, [b]) for s, b in zip(servers, bodies, strict=True)]
        replies = [one.result()[0] for one in asked]
    return [(r.n_generated - 1) / (r.last_s - r.first_s) for r in replies]


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = pair.parser(__doc__)
    parser.add_argument(
        "--tokens", type=int, default=200, help="of each answer (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps."""
    limits = Limits(args.threads, 1, n_ctx=2048)
    found: dict[str, dict[str, list[float]]] = {}
    with sides(args.llama_server, limits) as both:
        for side in both:
            for server in side.models:
                rates([server], "warm-up", 16)
            found[side.name] = {"alone": [], "twin_alone": [], "two": [], "busy": []}
        for number in range(args.rounds):
            for side in both if number % 2 == 0 else both[::-1]:
                one_round(side, f"{number}", args.tokens, found[side.name])
        commands = {side.name: side.models[0].command for side in both}
    return {
        "versions": report.versions("corral", "llama-cpp-python"),
        "limits": dataclasses.asdict(limits),
        "servers": commands,
        "n_tokens": args.tokens,
        "tokens_per_s": found,
        **judged(found),
    }


def one_round(side: Side, seed: str, n_tokens: int, found: dict[str, list[float]]) -> None:
    """Measure one side once, and keep its figures."""
    first, second = side.models
    found["alone"] += rates([first], f"{seed} a", n_tokens)
    found["twin_alone"] += rates([second], f"{seed} b", n_tokens)
    found["two"].append(sum(rates([first, second], f"{seed} c", n_tokens)))
    with busy_program():
        found["busy"] += rates([first], f"{seed} d", n_tokens)


def judged(found: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Print the figures and return the ratios that count."""
    ours, theirs = found["corral"], found["llama-server"]
    for name, figures in found.items():
        shown = "  ".join(f"{kind} {statistics.median(v):6.1f}" for kind, v in figures.items())
        print(f"{name:13} tok/s  {shown}")
    alone = [(a + b) / 2 for a, b in zip(ours["alone"], ours["twin_alone"], strict=True)]
    ratios = {
        # Equal models at the same time: the sum of each one's share of its own speed alone.
        "shares_together": paired_ratio(ours["two"], alone),
        "two_against_theirs": paired_ratio(ours["two"], theirs["two"]),
        "busy_against_theirs": paired_ratio(ours["busy"], theirs["busy"]),
        "alone_against_theirs": paired_ratio(ours["alone"], theirs["alone"]),
    }
    for name, ratio in ratios.items():
        print(f"{name:22} {ratio.median:.2f}  ({ratio.low:.2f} to {ratio.high:.2f})")
    return {"ratios": {name: dataclasses.asdict(ratio) for name, ratio in ratios.items()}}


if __name__ == "__main__":
    sys.exit(pair.main(run, options(sys.argv[1:])))

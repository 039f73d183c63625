"""How long a stream stands still when a long prompt arrives: Corral against ``llama-server``.

One answer is streaming; then a long prompt, never seen before, comes in beside it.  What counts is
the longest wait between two texts of the first answer.

    python bench/gap.py --llama-server /path/to/llama-server --name gap
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import report
from bench.figures import paired_ratio
from bench.load import BadAnswer, Reply, burst
from bench.serve import body, prompts
from bench.servers import (
    CannotStart,
    Limits,
    Server,
    corral,
    find_llama_server,
    llama_server,
    starter_model,
)

#: Seconds after which the long prompt comes: the first answer streams by then.
_APART_S = 1.0


def one_round(server: Server, seed: str, n_words: int, n_tokens: int) -> tuple[Reply, Reply]:
    """Return the answer that streams and the one to the long prompt."""
    short, long = prompts(f"{seed} a", 1, 20, 0) + prompts(f"{seed} b", 1, n_words, 0)
    bodies = [body(server, short, n_tokens), body(server, long, 8)]
    stream, other = burst(server.address, bodies, apart_s=_APART_S)
    if stream.last_s < other.first_s:
        raise BadAnswer("the stream ended before the long prompt was computed; ask for more tokens")
    return stream, other


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--llama-server", metavar="PATH", help="the binary; default: $LLAMA_SERVER, then PATH")
    add("--rounds", type=int, default=5, help="alternations (default: %(default)s)")
    add("--words", type=int, nargs="+", default=[850, 1700], help="of the long prompt")
    add("--tokens", type=int, default=400, help="of the stream (default: %(default)s)")
    add("--threads", type=int, default=2, help="of each engine (default: %(default)s)")
    add("--name", help="write bench/results/NAME.json")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps."""
    limits = Limits(args.threads, 2, n_ctx=4096)
    found: list[dict[str, Any]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corral-bench-")))
        binary = find_llama_server(args.llama_server)
        servers = [
            stack.enter_context(corral(limits, folder / "home", folder / "corral.log")),
            stack.enter_context(
                llama_server(binary, starter_model(), limits, folder / "llama-server.log")
            ),
        ]
        for server in servers:
            one_round(server, "warm-up", 100, args.tokens)
        for n_words in args.words:
            found.append(measure(servers, n_words, args))
        commands = {server.name: server.command for server in servers}
    return {
        "versions": report.versions("corral", "llama-cpp-python"),
        "limits": dataclasses.asdict(limits),
        "servers": commands,
        "workloads": found,
    }


def measure(servers: Sequence[Server], n_words: int, args: argparse.Namespace) -> dict[str, Any]:
    """Alternate, print a line for each server, and return the figures."""
    gaps: dict[str, list[float]] = {server.name: [] for server in servers}
    waits: dict[str, list[float]] = {server.name: [] for server in servers}
    n_prompt = 0
    for number in range(args.rounds):
        for server in servers if number % 2 == 0 else servers[::-1]:
            stream, other = one_round(server, f"{n_words} {number}", n_words, args.tokens)
            gaps[server.name].append(stream.longest_gap_s)
            waits[server.name].append(other.first_s - other.sent_s)
            n_prompt = other.n_prompt
    for name in gaps:
        gap, wait = statistics.median(gaps[name]), statistics.median(waits[name])
        print(
            f"{n_prompt:5} tokens  {name:13} longest gap {1000 * gap:7.0f} ms   "
            f"first token of the long prompt {1000 * wait:7.0f} ms"
        )
    ratio = paired_ratio(gaps["corral"], gaps["llama-server"])
    print(
        f"{'':14}corral / llama-server: {ratio.median:.3f}  ({ratio.low:.3f} to {ratio.high:.3f})"
    )
    return {
        "n_prompt": n_prompt,
        "longest_gap_s": gaps,
        "ttft_s": waits,
        "ratio": dataclasses.asdict(ratio),
    }


def main(arguments: Sequence[str]) -> int:
    """Measure; returns the exit code."""
    args = options(arguments)
    try:
        found = run(args)
    except (CannotStart, BadAnswer) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.name:
        print(f"written to bench/results/{report.save(args.name, found).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

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
from collections.abc import Sequence
from typing import Any

from bench import pair, report
from bench.figures import paired_ratio
from bench.load import BadAnswer, Reply, burst
from bench.serve import body, prompts
from bench.servers import Limits, Server

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
    parser = pair.parser(__doc__)
    add = parser.add_argument
    add("--words", type=int, nargs="+", default=[850, 1700], help="of the long prompt")
    add("--tokens", type=int, default=500, help="of the stream (default: %(default)s)")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps."""
    limits = Limits(args.threads, 2, n_ctx=4096)
    with pair.both(args.llama_server, limits) as servers:
        for server in servers:
            one_round(server, "warm-up", 100, args.tokens)
        found = [measure(servers, n_words, args) for n_words in args.words]
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


if __name__ == "__main__":
    sys.exit(pair.main(run, options(sys.argv[1:])))

"""A conversation that grows: Corral against ``llama-server``.

Each turn resends all that was said before, as every chat program does, with the server's own
answers in it.  What counts is the time of the whole conversation; how much of each prompt came
from a cache is kept with it.

    python bench/turns.py --llama-server /path/to/llama-server --name turns
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
from bench.serve import body, words
from bench.servers import Limits, Server


def conversation(server: Server, seed: str, args: argparse.Namespace) -> list[Reply]:
    """Hold one conversation with a server; returns its answers."""
    turns: list[dict[str, str]] = [{"role": "system", "content": words(f"{seed}/s", args.words)}]
    replies = []
    for number in range(args.turns):
        question = f"{words(f'{seed}/{number}', args.words)}. Tell me about these words."
        turns.append({"role": "user", "content": question})
        asked = body(server, "", args.tokens) | {"messages": list(turns)}
        [reply] = burst(server.address, [asked])
        if reply.n_generated != args.tokens:
            raise BadAnswer(f"asked for {args.tokens} tokens, got {reply.n_generated}")
        turns.append({"role": "assistant", "content": reply.text})
        replies.append(reply)
    return replies


def seconds(replies: Sequence[Reply]) -> float:
    """Return the time that the answers took, without what the client did between them."""
    return sum(reply.last_s - reply.sent_s for reply in replies)


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = pair.parser(__doc__)
    add = parser.add_argument
    add("--turns", type=int, default=8, help="of a conversation (default: %(default)s)")
    add("--words", type=int, default=60, help="of each question (default: %(default)s)")
    add("--tokens", type=int, default=64, help="of each answer (default: %(default)s)")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps."""
    limits = Limits(args.threads, n_streams=2, n_ctx=4096)
    totals: dict[str, list[float]] = {}
    cached: dict[str, list[int]] = {}
    n_prompt: list[int] = []
    with pair.both(args.llama_server, limits) as servers:
        for server in servers:
            conversation(server, "warm-up", args)
        for number in range(args.rounds):
            for server in servers if number % 2 == 0 else servers[::-1]:
                replies = conversation(server, f"round {number}", args)
                totals.setdefault(server.name, []).append(seconds(replies))
                cached[server.name] = [reply.n_cached for reply in replies]
                n_prompt = [reply.n_prompt for reply in replies]
        commands = {server.name: server.command for server in servers}
    for name, times in totals.items():
        print(f"{args.turns} turns  {name:13} {statistics.median(times):6.2f} s")
    ratio = paired_ratio(totals["corral"], totals["llama-server"])
    print(f"corral / llama-server: {ratio.median:.3f}  ({ratio.low:.3f} to {ratio.high:.3f})")
    return {
        "versions": report.versions("corral", "llama-cpp-python"),
        "limits": dataclasses.asdict(limits),
        "servers": commands,
        "total_s": totals,
        "n_prompt": n_prompt,
        "n_cached": cached,
        "ratio": dataclasses.asdict(ratio),
    }


if __name__ == "__main__":
    sys.exit(pair.main(run, options(sys.argv[1:])))

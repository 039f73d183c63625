"""Guessing tokens: copied text against ``llama-server``, ordinary text against guessing nothing.

The first workload asks for a text word for word, as edits of code and quotations do: Corral with
``speculate`` ``auto``, ``llama-server`` as it comes.  The second asks for stories, of which little
stands in the prompt: Corral with ``speculate`` ``auto`` and ``off`` in turns, so its ratio says
what guessing costs where it does not help.

    python bench/speculate.py --llama-server /path/to/llama-server --name speculate
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

from bench import pair, report
from bench.figures import Ratio, measure, paired_ratio, spread
from bench.load import BadAnswer, Reply, burst
from bench.serve import WORDS, body, words
from bench.servers import Limits, Server

#: What is measured: its name, its server, and what its requests have beside the common fields.
Side = tuple[str, Server, dict[str, Any]]

_NAMES = ("Anna", "Peter", "Maria", "Omar", "Lena", "Victor", "Iris", "Samuel")


def sentences(seed: str, n: int) -> str:
    """Return ``n`` plain sentences that no other seed gives."""
    draw = random.Random(seed)
    found = []
    for _ in range(n):
        name, what, where, how_many = (
            draw.choice(_NAMES),
            draw.choice(WORDS),
            draw.choice(WORDS),
            draw.randint(2, 99),
        )
        found.append(f"{name} bought {how_many} of them for the {what} behind the {where}.")
    return " ".join(found)


def copying(seed: str, args: argparse.Namespace) -> str:
    """Return a prompt whose answer stands in it."""
    text = sentences(seed, args.sentences)
    return f"Repeat this text word for word, and nothing else:\n\n{text}\n\nRepeat it exactly."


def ordinary(seed: str, args: argparse.Namespace) -> str:
    """Return a prompt for a text that is new."""
    return f"{words(seed, args.words)}. Write a long story with these words."


def ask(server: Server, text: str, n_tokens: int, **extra: Any) -> Reply:
    """Return the answer to one request of a fixed length.

    Raises:
        BadAnswer: It has another.
    """
    [reply] = burst(server.address, [body(server, text, n_tokens) | extra])
    if reply.n_generated != n_tokens:
        raise BadAnswer(f"asked for {n_tokens} tokens, got {reply.n_generated}")
    return reply


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = pair.parser(__doc__)
    add = parser.add_argument
    add("--sentences", type=int, default=12, help="to be copied (default: %(default)s)")
    add("--words", type=int, default=30, help="of an ordinary prompt (default: %(default)s)")
    add("--tokens", type=int, default=192, help="of each answer (default: %(default)s)")
    return parser.parse_args(arguments)


def compare(
    name: str,
    sides: Sequence[Side],
    prompt: Callable[[str, argparse.Namespace], str],
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Measure one workload on two sides in turns, print it, and return it for the result file."""
    rates: dict[str, list[float]] = {side: [] for side, _, _ in sides}
    decodes: dict[str, list[float]] = {side: [] for side, _, _ in sides}
    n_equal = 0
    for _, server, extra in sides:
        ask(server, prompt(f"{name} warm-up", args), args.tokens, **extra)
    for number in range(args.rounds):
        texts = []
        text = prompt(f"{name} {number}", args)
        for side, server, extra in sides if number % 2 == 0 else sides[::-1]:
            run = measure([reply := ask(server, text, args.tokens, **extra)])
            rates[side].append(run.tokens_per_s)
            decodes[side].append(run.decode_per_s)
            texts.append(reply.text)
        n_equal += texts[0] == texts[1]
    for side, values in rates.items():
        rate, decode = statistics.median(values), statistics.median(decodes[side])
        print(
            f"{name:9} {side:13} {rate:7.1f} tok/s ±{100 * spread(values):4.1f} %"
            f"   decode {decode:7.1f}"
        )
    ours, theirs = (side for side, _, _ in sides)
    ratios: dict[str, Ratio] = {
        "tokens_per_s": paired_ratio(rates[ours], rates[theirs]),
        "decode_per_s": paired_ratio(decodes[ours], decodes[theirs]),
    }
    for what, ratio in ratios.items():
        print(
            f"{'':9} {ours} / {theirs}, {what}: {ratio.median:.3f}"
            f"  ({ratio.low:.3f} to {ratio.high:.3f})"
        )
    return {
        "tokens_per_s": rates,
        "decode_per_s": decodes,
        "ratio": {what: dataclasses.asdict(ratio) for what, ratio in ratios.items()},
        "n_equal_answers": n_equal,
    }


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps."""
    limits = Limits(args.threads, n_streams=2, n_ctx=4096)
    with pair.both(args.llama_server, limits) as (ours, theirs):
        copied: list[Side] = [
            ("corral", ours, {"speculate": "auto"}),
            ("llama-server", theirs, {}),
        ]
        stories: list[Side] = [  # the same prompts: neither may find the other's in the cache
            (mode, ours, {"speculate": mode, "cache": "none"}) for mode in ("auto", "off")
        ]
        found = {
            "copied": compare("copied", copied, copying, args),
            "ordinary": compare("ordinary", stories, ordinary, args),
        }
        commands = {server.name: server.command for server in (ours, theirs)}
    return {
        "versions": report.versions("corral", "llama-cpp-python"),
        "limits": dataclasses.asdict(limits),
        "servers": commands,
        **found,
    }


if __name__ == "__main__":
    sys.exit(pair.main(run, options(sys.argv[1:])))

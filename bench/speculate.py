"""Guessing tokens: copied text against ``llama-server``, ordinary text against guessing nothing.

The first workloads ask for a text again, as edits of code and quotations do, once and after it was
repeated already: Corral with ``speculate`` ``auto``, ``llama-server`` as it comes.  The others ask
for stories, of which little stands in the prompt: Corral with ``auto`` and ``off`` in turns, so
their ratios say what guessing costs where it does not help: with the likeliest tokens, of which a
small model's answers soon repeat themselves, and with tokens drawn at temperature 1, which do not.

    python bench/speculate.py --llama-server /path/to/llama-server --name speculate
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
from collections.abc import Sequence
from typing import Any

from bench import pair, report
from bench.serve import WORDS
from bench.servers import Limits
from bench.sides import Side, Turns, compare, ordinary, user

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


def copying(seed: str, args: argparse.Namespace) -> Turns:
    """Return a question whose answer stands in it."""
    return user(f"Repeat this text word for word:\n\n{sentences(seed, args.sentences)}")


def copying_again(seed: str, args: argparse.Namespace) -> Turns:
    """Return a conversation in which the next answer stands twice."""
    [asked] = copying(seed, args)
    return [
        asked,
        {"role": "assistant", "content": sentences(seed, args.sentences)},
        *user("Repeat it once more, word for word."),
    ]


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = pair.parser(__doc__)
    add = parser.add_argument
    add("--sentences", type=int, default=12, help="to be copied (default: %(default)s)")
    add("--words", type=int, default=30, help="of an ordinary prompt (default: %(default)s)")
    add("--tokens", type=int, default=192, help="of each answer (default: %(default)s)")
    return parser.parse_args(arguments)


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
        drawn: list[Side] = [(m, s, extra | {"temperature": 1.0}) for m, s, extra in stories]
        found = {
            "copied": compare("copied", copied, copying, args),
            "again": compare("again", copied, copying_again, args),
            "ordinary": compare("ordinary", stories, ordinary, args),
            "drawn": compare("drawn", drawn, ordinary, args),
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

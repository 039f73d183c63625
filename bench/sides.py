"""One request at a time to two sides in turns: two servers, or one with two sets of options."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from bench.figures import Ratio, measure, paired_ratio, spread
from bench.load import BadAnswer, Reply, burst
from bench.serve import body, words
from bench.servers import Server

#: What is measured: its name, its server, and what its requests have beside the common fields.
Side = tuple[str, Server, dict[str, Any]]
#: A conversation, as the OpenAI API has it.
Turns = list[dict[str, str]]


def user(text: str) -> Turns:
    """Return a conversation that is one question."""
    return [{"role": "user", "content": text}]


def ordinary(seed: str, args: argparse.Namespace) -> Turns:
    """Return a prompt for a text that is new."""
    return user(f"{words(seed, args.words)}. Write a long story with these words.")


def ask(server: Server, turns: Turns, n_tokens: int, **extra: Any) -> Reply:
    """Return the answer to one request of a fixed length.

    Raises:
        BadAnswer: It has another.
    """
    [reply] = burst(server.address, [body(server, "", n_tokens) | {"messages": turns} | extra])
    if reply.n_generated != n_tokens:
        raise BadAnswer(f"asked for {n_tokens} tokens, got {reply.n_generated}")
    return reply


def compare(
    name: str,
    sides: Sequence[Side],
    prompt: Callable[[str, argparse.Namespace], Turns],
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
        turns = prompt(f"{name} {number}", args)
        for side, server, extra in sides if number % 2 == 0 else sides[::-1]:
            run = measure([reply := ask(server, turns, args.tokens, **extra)])
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

"""What Python itself costs in a decode step: everything outside llama.cpp's decode call.

The engine's loop runs in this process, greedy streams of the starter model in it.  Counted is a
whole step of the loop: scheduling, filling the batch, drawing, text, and the message to the daemon,
which is encoded and written to nowhere.  Of it, the search of each stream's logits for the
largest is told apart: compiled code does that, here numpy's, where others call llama.cpp's.

    python bench/step.py --streams 1 8 --name step
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from bench import report
from bench.servers import CannotStart, starter_model
from runner.domain.options import SamplingParams
from runner.engine.llama.backend import LlamaBackend
from runner.engine.llama.sampler import LlamaSampler
from runner.engine.loop import Loop
from runner.protocol.codec import encode
from runner.protocol.messages import Generate, Load, Message, Shutdown, Step

_GREEDY = SamplingParams(temperature=0, ignore_eos=True)
#: Steps at each end that do not count: prompts are computed, streams begin and end.
_MARGIN = 8


def one_round(backend: LlamaBackend, n_streams: int, n_tokens: int) -> float:
    """Return the microseconds of a step beside the decode call, over one batch of answers."""
    steps: list[Step] = []
    n_left = n_streams
    with open(os.devnull, "wb", buffering=0) as nowhere:  # noqa: PTH123 - a device

        def send(message: Message) -> None:
            nonlocal n_left
            nowhere.write(encode(message))
            if isinstance(message, Step):
                steps.append(message)
                n_left -= sum(delta.finish is not None for delta in message.deltas)
                if not n_left:
                    loop.receive(Shutdown())

        loop = Loop(backend.model, backend, send)
        for i in range(n_streams):
            prompt = f"Story number {i}. Once upon a time"
            loop.receive(Generate(f"r{i}", _GREEDY, prompt=prompt, max_tokens=n_tokens))
        loop.run()
    backend.clear()
    first, last = steps[_MARGIN], steps[-_MARGIN]
    return (last.n_host_us - first.n_host_us) / (last.n_steps - first.n_steps)


@contextmanager
def searches() -> Iterator[list[float]]:
    """Gather the seconds that each search for the likeliest token takes."""
    found: list[float] = []
    select = LlamaSampler._select

    def timed(sampler: LlamaSampler, *what: Any) -> int:
        began = time.perf_counter()
        token = select(sampler, *what)
        found.append(time.perf_counter() - began)
        return token

    with patch.object(LlamaSampler, "_select", timed):
        yield found


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps."""
    most = max(args.streams)
    load = Load(
        "load",
        str(starter_model()),
        n_ctx=1024,
        n_cells=most * (args.tokens + 64),
        n_seq_max=most,
        n_threads=args.threads,
    )
    backend = LlamaBackend(load)
    gc.freeze()  # as a worker does
    found: dict[str, list[float]] = {}
    searched: dict[str, float] = {}
    for n_streams in args.streams:
        one_round(backend, n_streams, args.tokens)
        figures = [one_round(backend, n_streams, args.tokens) for _ in range(args.rounds)]
        with searches() as seconds:
            one_round(backend, n_streams, args.tokens)
        found[str(n_streams)] = figures
        searched[str(n_streams)] = n_streams * 1e6 * statistics.median(seconds)
        print(
            f"{n_streams:3} streams  {statistics.median(figures):6.0f} µs a step outside llama.cpp"
            f"  ({min(figures):.0f} to {max(figures):.0f}),"
            f" {searched[str(n_streams)]:.0f} of them the search of the logits"
        )
    return {
        "versions": report.versions("corral", "llama-cpp-python"),
        "host_us_a_step": found,
        "search_us_a_step": searched,
    }


def main(arguments: Sequence[str]) -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8], help="at once")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=100, help="of each answer, at least 40")
    parser.add_argument("--threads", type=int, default=2, help="of the engine")
    parser.add_argument("--name", help="write bench/results/NAME.json")
    args = parser.parse_args(arguments)
    try:
        found = run(args)
    except CannotStart as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.name:
        print(f"written to bench/results/{report.save(args.name, found).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

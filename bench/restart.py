"""What a restart costs a long prompt: computed, and seen before.

A prompt of about 2,000 tokens is answered, the daemon is ended and started again on the same home,
the model is loaded, and the same prompt comes again.  What counts is the time to its first token;
the time to load the model is told apart.

    python bench/restart.py --name restart
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import pair, report
from bench.load import Reply, burst
from bench.serve import body, prompts
from bench.servers import Limits, corral, post


@dataclasses.dataclass(frozen=True, slots=True)
class Visit:
    """One life of the daemon: seconds to load the model, and the answer to the prompt."""

    load_s: float
    reply: Reply

    @property
    def ttft_s(self) -> float:
        """From the request to its first text."""
        return self.reply.first_s - self.reply.sent_s


def visit(limits: Limits, folder: Path, text: str) -> Visit:
    """Start the daemon, load, ask once, end the daemon."""
    with corral(limits, folder / "home", folder / "corral.log") as server:
        url = f"http://{server.address[0]}:{server.address[1]}/api/generate"
        began = time.perf_counter()
        post(url, {"model": server.model, "stream": False})
        load_s = time.perf_counter() - began
        [reply] = burst(server.address, [body(server, text, 8)])
        time.sleep(1.0)  # a user's pause; what is worth keeping is written meanwhile
        return Visit(load_s, reply)


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = pair.parser(__doc__)
    parser.add_argument("--words", type=int, default=1720, help="of the prompt")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps."""
    limits = Limits(args.threads, n_streams=2, n_ctx=4096)
    first, again = [], []
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as name:
        for number in range(args.rounds):
            [text] = prompts(f"restart {number}", 1, args.words, 0)
            first.append(visit(limits, Path(name), text))
            again.append(visit(limits, Path(name), text))
    computed = statistics.median(found.ttft_s for found in first)
    restored = statistics.median(found.ttft_s for found in again)
    ratio = statistics.median(b.ttft_s / a.ttft_s for a, b in zip(first, again, strict=True))
    loading = statistics.median(found.load_s for found in again)
    reply = again[-1].reply
    print(f"{reply.n_prompt} tokens, {reply.n_cached} of them kept over the restart")
    print(f"first token  computed {1000 * computed:7.0f} ms   kept {1000 * restored:7.0f} ms")
    print(f"ratio {ratio:.4f}   (loading the model: {1000 * loading:.0f} ms)")
    return {
        "versions": report.versions("corral", "llama-cpp-python"),
        "limits": dataclasses.asdict(limits),
        "n_prompt": reply.n_prompt,
        "n_cached": [found.reply.n_cached for found in again],
        "computed_s": [found.ttft_s for found in first],
        "kept_s": [found.ttft_s for found in again],
        "load_s": [found.load_s for found in again],
        "n_equal_answers": sum(
            a.reply.text == b.reply.text for a, b in zip(first, again, strict=True)
        ),
        "ratio": ratio,
    }


if __name__ == "__main__":
    sys.exit(pair.main(run, options(sys.argv[1:])))

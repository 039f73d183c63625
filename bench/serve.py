r"""Tokens a second at the HTTP edge: Corral against ``llama-server``, turn by turn.

Both servers are up on the same file with the same limits; each round sends the same prompts to
one and then to the other, and the order changes from round to round.  No round's prompts were
seen before, answers have a fixed length, and greedy sampling makes them comparable.

    python bench/serve.py --llama-server /path/to/llama-server --name serve
    python bench/serve.py --llama-server /path/to/llama-server --name shared \
        --streams 8 --requests 32 --shared 420 --tokens 32

README.md says what the figures mean and what they do not.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import pair, report
from bench.figures import Run, measure, paired_ratio, spread
from bench.load import BadAnswer, Reply, burst
from bench.servers import (
    Limits,
    Server,
    corral,
    find_llama_server,
    llama_server,
    starter_model,
)

#: Short, common words: each is one token or two in any vocabulary.
_VOCABULARY = (
    "river stone garden winter letter music bread silver mountain window paper green "
    "market island summer horse bridge candle forest engine cotton doctor yellow planet "
    "kitchen story shadow castle dragon coffee button travel ocean pencil orange monkey"
)
WORDS = tuple(_VOCABULARY.split())

#: Seconds that idle servers are watched for, and the share of one core they may use.
IDLE_S = 2.0
IDLE_SHARE = 0.02


@dataclass(slots=True)
class Workload:
    """So many streams at once, and what came of it.

    Attributes:
        n_streams: Requests answered at once.
        n_requests: Requests of a round, never more than ``n_streams`` unanswered at a time.
        runs: The figures of each round, by server.
        n_equal: Answers that both servers gave word for word.
        n_answers: Answers compared.
    """

    n_streams: int
    n_requests: int
    runs: dict[str, list[Run]] = field(default_factory=dict)
    n_equal: int = 0
    n_answers: int = 0

    @property
    def name(self) -> str:
        """As the table shows it."""
        if self.n_requests > self.n_streams:
            return f"{self.n_requests} by {self.n_streams}"
        return f"{self.n_streams} stream{'s' if self.n_streams > 1 else ''}"


def words(seed: str, n_words: int) -> str:
    """Return words that no other seed gives, from the first ones on."""
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(n_words))


def prompts(seed: str, n_requests: int, n_words: int, n_shared: int) -> list[str]:
    """Return new prompts that begin with the same ``n_shared`` words and go on with their own."""
    own = [words(f"{seed}/{i}", n_words) for i in range(n_requests)]
    task = "Write a long story with these words"
    if n_shared:
        return [f"{words(f'{seed}/shared', n_shared)}. {task}: {text}" for text in own]
    return [f"{text}. {task}." for text in own]


def body(server: Server, text: str, n_tokens: int) -> dict[str, Any]:
    """Return the request; the same for both servers, but for what they call the model."""
    return {
        "model": server.model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": n_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def one_round(workload: Workload, servers: Sequence[Server], seed: str, args: Any) -> None:
    """Send the same new prompts to each server in turn and keep the figures.

    Raises:
        BadAnswer: The servers did not do the same work.
    """
    texts = prompts(seed, workload.n_requests, args.words, args.shared)
    answers: list[list[Reply]] = []
    for server in servers:
        bodies = [body(server, text, args.tokens) for text in texts]
        replies = burst(server.address, bodies, n_at_once=workload.n_streams)
        workload.runs.setdefault(server.name, []).append(measure(replies))
        answers.append(replies)
    for replies in answers:
        short = [reply.n_generated for reply in replies if reply.n_generated != args.tokens]
        if short:
            raise BadAnswer(f"asked for {args.tokens} tokens, got {short}")
    for first, *others in zip(*answers, strict=True):
        for other in others:
            if first.n_prompt != other.n_prompt:
                raise BadAnswer(f"one prompt, two lengths: {first.n_prompt}, {other.n_prompt}")
            workload.n_answers += 1
            workload.n_equal += first.text == other.text


def idle_shares(servers: Sequence[Server]) -> dict[str, float]:
    """Return the share of one core that each server uses while nobody asks it anything."""
    before = [server.cpu_s() for server in servers]
    time.sleep(IDLE_S)
    return {
        server.name: (server.cpu_s() - start) / IDLE_S
        for server, start in zip(servers, before, strict=True)
    }


def line(workload: Workload, server: str) -> str:
    """Return one line of the table: the medians of one server, and the spread of its rate."""
    runs = workload.runs[server]
    rates = [run.tokens_per_s for run in runs]
    return (
        f"{workload.name:10} {server:13} {statistics.median(rates):8.1f} tok/s "
        f"±{100 * spread(rates):4.1f} %   "
        f"decode {statistics.median(run.decode_per_s for run in runs):7.1f}   "
        f"first token {1000 * statistics.median(run.ttft_s for run in runs):7.0f} ms, "
        f"p95 {1000 * statistics.median(run.ttft_p95_s for run in runs):7.0f} ms"
    )


def show(workload: Workload) -> None:
    """Print what a workload came to."""
    for server in workload.runs:
        print(line(workload, server))
    if len(workload.runs) == 2:
        ours, theirs = (workload.runs[name] for name in ("corral", "llama-server"))
        ratio = paired_ratio([r.tokens_per_s for r in ours], [r.tokens_per_s for r in theirs])
        print(
            f"{'':10} corral / llama-server: {ratio.median:.3f}  (95 %: {ratio.low:.3f} to "
            f"{ratio.high:.3f}; equal answers: {workload.n_equal} of {workload.n_answers})"
        )


def figures(workload: Workload) -> dict[str, Any]:
    """Return a workload for the result file: every run, and the ratios."""
    found: dict[str, Any] = {
        "n_streams": workload.n_streams,
        "n_requests": workload.n_requests,
        "n_equal_answers": workload.n_equal,
        "n_answers": workload.n_answers,
        "runs": {
            name: [dataclasses.asdict(r) for r in runs] for name, runs in workload.runs.items()
        },
    }
    if len(workload.runs) == 2:
        ours, theirs = (workload.runs[name] for name in ("corral", "llama-server"))
        found["ratio"] = {
            measured: dataclasses.asdict(
                paired_ratio(
                    [getattr(run, measured) for run in ours],
                    [getattr(run, measured) for run in theirs],
                )
            )
            for measured in ("tokens_per_s", "decode_per_s", "ttft_s", "ttft_p95_s")
        }
    return found


def start(stack: ExitStack, args: Any, limits: Limits) -> list[Server]:
    """Start the servers asked for, ours first."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corral-bench-")))
    servers = []
    if args.only != "llama-server":
        servers.append(stack.enter_context(corral(limits, folder / "home", folder / "corral.log")))
    if args.only != "corral":
        binary = find_llama_server(args.llama_server)
        log = folder / "llama-server.log"
        other = llama_server(binary, starter_model(), limits, log)
        servers.append(stack.enter_context(other))
    return servers


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for on the command line."""
    parser = pair.parser(__doc__)
    add = parser.add_argument
    add("--streams", type=int, nargs="+", default=[1, 4, 8], help="default: 1 4 8")
    add("--tokens", type=int, default=192, help="tokens of each answer (default: %(default)s)")
    add("--words", type=int, default=40, help="words of each prompt (default: %(default)s)")
    add("--requests", type=int, default=0, help="of a round (default: as many as streams)")
    add("--shared", type=int, default=0, metavar="WORDS", help="that all of a round begin with")
    add("--context", type=int, default=1024, help="of a sequence, tokens (default: %(default)s)")
    add("--only", choices=("corral", "llama-server"), help="measure one, without ratios")
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps."""
    limits = Limits(args.threads, max(args.streams), n_ctx=args.context)
    workloads = [Workload(n_streams, args.requests or n_streams) for n_streams in args.streams]
    with ExitStack() as stack:
        servers = start(stack, args, limits)
        for workload in workloads:
            warm_up = dataclasses.replace(workload, runs={})
            one_round(warm_up, servers, f"warm-up {workload.name}", args)
        idle = idle_shares(servers)
        for name, share in idle.items():
            if share > IDLE_SHARE:
                print(f"warning: idle, {name} uses {share:.0%} of a core", file=sys.stderr)
        for workload in workloads:
            for number in range(args.rounds):
                turns = servers if number % 2 == 0 else servers[::-1]
                one_round(workload, turns, f"{workload.name} {number}", args)
            show(workload)
        commands = {server.name: server.command for server in servers}
    model = starter_model()
    return {
        "versions": report.versions("corral", "llama-cpp-python")
        | ({} if args.only == "corral" else {"llama-server": binary_version(args.llama_server)}),
        "model": {
            "file": model.name,
            "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        },
        "limits": dataclasses.asdict(limits),
        "servers": commands,
        "idle_share_of_a_core": idle,
        "workloads": [figures(workload) for workload in workloads],
    }


def binary_version(given: str | None) -> str:
    """Return what ``llama-server --version`` says of itself."""
    done = subprocess.run(
        [find_llama_server(given), "--version"], capture_output=True, text=True, check=True
    )
    return " ".join((done.stdout + done.stderr).split())


if __name__ == "__main__":
    sys.exit(pair.main(run, options(sys.argv[1:])))

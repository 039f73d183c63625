"""``corral bench``: how fast a model is, alone and side by side, compared with the run before."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from runner.cli.follow import follow
from runner.cli.output import Output
from runner.cli.parser import Subparsers, UsageError
from runner.client.client import Client
from runner.client.connection import Json
from runner.domain.quality import BenchReport, BenchRow
from runner.errors import InvalidRequest

if TYPE_CHECKING:  # pictures are seldom asked for
    from runner.cli.plot import BarChart

_EPILOG = """\
Each point is the median of several: prompt and answer in tokens a second, over
all requests together. Every run is kept, and compared with the one before.

corral bench smollm2
corral bench smollm2 --depths 0,4096 --concurrency 1,8 --repeats 5
corral bench smollm2 --list
corral bench smollm2 --last --against 3      the latest run beside run 3
corral bench smollm2 --last --plot bars.png  the same as a picture

--json prints an array of runs, the latest first: time quantization n_prompt
n_generate n_repeats n_threads load_s rows (depth concurrency prompt_tps
generate_tps prompt_spread generate_spread) build"""
_WIDTH = 30  # of the longest bar, in characters


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "bench",
        help="measure how fast a model is",
        description="Measure how fast a model reads and writes: at several depths of the context,"
        " and with several requests at once.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="a model in the library")
    parser.add_argument("--depths", metavar="N,N", help="tokens before; else 0,1024,4096")
    parser.add_argument("--concurrency", metavar="N,N", help="requests at once; else 1,2,4")
    parser.add_argument("--prompt", type=int, help="tokens of a prompt; else 256")
    parser.add_argument("--generate", type=int, help="tokens of an answer; else 32")
    parser.add_argument("--repeats", type=int, help="how often each is measured; else 3")
    parser.add_argument("--last", action="store_true", help="measure nothing: show the latest run")
    parser.add_argument("--list", action="store_true", help="list the runs there are")
    parser.add_argument(
        "--against", type=int, metavar="RUN", help="compare with this run of the list; else 2"
    )
    parser.add_argument("--plot", metavar="FILE", help="draw the chart as a PNG file, too")
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Follow the measurement, draw it, and compare it with one before."""
    if not (args.last or args.list):
        follow(client, client.begin_bench(args.model, body_of(args)), out)
    runs = client.benches(args.model)
    if not runs and (args.plot or not args.json):
        raise InvalidRequest(
            f"'{args.model}' was not measured yet", hint=f"do it with: corral bench {args.model}"
        )
    number, before = _compared(runs, args.against)
    if args.json:
        out.json([asdict(one) for one in runs])
    elif args.list:
        rows = [
            (str(number), one.time, one.quantization, *_best(one))
            for number, one in enumerate(runs, 1)
        ]
        out.table(("RUN", "TIME", "TYPE", "PROMPT", "ANSWER"), rows)
    else:
        for line in chart(runs[0], before, is_unicode=out.is_unicode):
            out.text(line)
        if before is not None:
            out.say(f"compared with run {number} of {before.time}")
    if args.plot:
        from runner.cli.plot import plot_bars, save  # seldom asked for

        image = plot_bars(bar_charts(args.model, runs[0], before))
        out.say(f"drew {save(image, args.plot, f'corral bench {args.model}')}")
    return 0


def _compared(runs: Sequence[BenchReport], against: int | None) -> tuple[int, BenchReport | None]:
    """Return the number of the run that the latest is compared with, and that run, if it is there.

    Raises:
        UsageError: It was asked for, and is not.
    """
    number = 2 if against is None else against
    if against is not None and not 1 <= number <= len(runs):
        raise UsageError(f"--against: there are runs 1 to {len(runs)}, not {number}")
    return number, runs[number - 1] if len(runs) >= number else None


def body_of(args: argparse.Namespace) -> Json:
    """Return what ``/api/bench`` is to be asked for.

    Raises:
        UsageError: A list is none of numbers.
    """
    body: Json = {}
    for field, option, text in (
        ("depths", "--depths", args.depths),
        ("concurrencies", "--concurrency", args.concurrency),
    ):
        if text is not None:
            try:
                body[field] = [int(part) for part in text.split(",")]
            except ValueError:
                raise UsageError(f"{option} wants numbers such as 0,1024, not '{text}'") from None
    for field in ("prompt", "generate", "repeats"):
        if (value := getattr(args, field)) is not None:
            body[field] = value
    return body


def chart(latest: BenchReport, before: BenchReport | None, *, is_unicode: bool) -> list[str]:
    """Return lines that draw a run: a bar for each point, and the change since ``before``."""
    old = {(row.depth, row.concurrency): row for row in before.rows} if before else {}
    lines = [f"{latest.quantization}, {latest.n_threads} threads, loaded in {latest.load_s:.2f} s"]
    for title, speed in (
        (f"prompt, {latest.n_prompt} tokens", _prompt),
        (f"answer, {latest.n_generate} tokens", _answer),
    ):
        most = max(map(speed, latest.rows), default=0.0) or 1.0
        lines += ["", f"{title}, tokens/s"]
        for row in latest.rows:
            length = max(1, round(_WIDTH * speed(row) / most))
            bar = ("█" if is_unicode else "#") * length
            text = f"  {_where(row):<22} {bar:<{_WIDTH}} {speed(row):9.2f}"
            earlier = old.get((row.depth, row.concurrency))
            if earlier is not None and speed(earlier):
                text += f"  {(speed(row) / speed(earlier) - 1) * 100:+.1f}%"
            lines.append(text)
    return lines


def bar_charts(
    model: str, latest: BenchReport, before: BenchReport | None
) -> tuple[BarChart, BarChart]:
    """Return the same as two charts of a picture: of prompts, and of answers."""
    from runner.cli.plot import BarChart, Curve

    runs = [latest] if before is None else [latest, before]
    points = [(row.depth, row.concurrency) for row in latest.rows]

    def drawn(title: str, speed: Callable[[BenchRow], float]) -> BarChart:
        rows = []
        for run in runs:
            known = {(row.depth, row.concurrency): speed(row) for row in run.rows}
            values = [known.get(point, math.nan) for point in points]
            rows.append(Curve(f"{model} {run.quantization}, {run.time[:16]}", values))
        return BarChart(title, [_where(row) for row in latest.rows], rows)

    return (
        drawn(f"prompt, {latest.n_prompt} tokens, tokens/s", _prompt),
        drawn(f"answer, {latest.n_generate} tokens, tokens/s", _answer),
    )


def _prompt(row: BenchRow) -> float:
    return row.prompt_tps


def _answer(row: BenchRow) -> float:
    return row.generate_tps


def _where(row: BenchRow) -> str:
    return f"{row.concurrency} at once" if row.concurrency > 1 else f"depth {row.depth}"


def _best(run: BenchReport) -> tuple[str, str]:
    return (
        f"{max(row.prompt_tps for row in run.rows):.1f}",
        f"{max(row.generate_tps for row in run.rows):.1f}",
    )

"""``corral perplexity``: how well a model foretells a text, and what quantizing cost it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from runner.cli import human
from runner.cli.follow import follow
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.client.connection import Json
from runner.domain.quality import DEFAULT_WINDOW, QualityReport
from runner.errors import InvalidRequest
from runner.paths import given_path

_EPILOG = """\
Computed as llama.cpp's own tool does: windows of 512 tokens, the second half of
each is scored. What is found is kept with the model: corral show has it.

corral perplexity qwen3:4b-q4_k_m
corral perplexity qwen3:4b-q4_k_m wiki.test.raw --source qwen3:4b-f16
corral perplexity qwen3:4b-q4_k_m --last --plot curve.png

--json prints an object: time quantization n_bytes text text_sha256 n_ctx
n_windows n_scored perplexity perplexity_error tokens_per_s source
source_perplexity kld_mean kld_error kld_p99 top_1 running source_running build"""


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "perplexity",
        help="measure how good a model is, and what quantizing cost it",
        description="Measure how well a model foretells a text: its perplexity, and its distance"
        " from the model it was made from.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="a model in the library")
    parser.add_argument(
        "file", nargs="?", help="a text file, '-' for standard input; else Python's own manual"
    )
    parser.add_argument("--source", metavar="MODEL", help="compare with the model it was made from")
    parser.add_argument(
        "--window", type=int, default=DEFAULT_WINDOW, help="tokens of a window; else 512"
    )
    parser.add_argument("--windows", type=int, default=0, help="read so many windows at most")
    parser.add_argument("--plot", metavar="FILE", help="draw the curve over the text as a PNG file")
    parser.add_argument(
        "--last", action="store_true", help="measure nothing: show what was found last"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Follow the measurement and print what it found."""
    if not args.last:
        job = client.begin_perplexity(args.model, body_of(args))
        follow(client, job, out)
    reports = client.quality(args.model)
    if not reports:
        raise InvalidRequest(
            f"nothing was measured of '{args.model}' yet",
            hint=f"measure it with: corral perplexity {args.model}",
        )
    report = reports[0]
    if args.json:
        out.json(asdict(report))
    else:
        out.table((), list(report_rows(report)))
    if args.plot:
        _plot(report, args, out)
    return 0


def body_of(args: argparse.Namespace) -> Json:
    """Return what ``/api/perplexity`` is to be asked for.

    Raises:
        InvalidRequest: The file is missing, or no text.
    """
    body: Json = {"window": args.window, "windows": args.windows}
    if args.source:
        body["source"] = args.source
    if args.file is None:
        return body
    path = given_path(args.file)
    try:
        raw = sys.stdin.buffer.read() if args.file == "-" else path.read_bytes()
        body["text"] = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest(f"'{args.file}' is no text in UTF-8", param="text") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidRequest(f"'{path}' cannot be read: {reason}", param="text") from None
    return body | {"text_name": "standard input" if args.file == "-" else path.name}


def report_rows(report: QualityReport) -> list[tuple[str, str]]:
    """Return what a report says, a line each: what, and its value."""
    windows = "1 window" if report.n_windows == 1 else f"{report.n_windows} windows"
    rows = [
        ("perplexity", f"{report.perplexity:.4f} ± {report.perplexity_error:.4f}"),
        ("text", f"{report.text}, {windows} of {report.n_ctx} tokens"),
        ("speed", f"{report.tokens_per_s:.1f} tokens/s of prompt"),
        ("size", f"{human.size(report.n_bytes)} ({report.quantization})"),
    ]
    if report.source and report.kld_mean is not None:
        rows += [
            ("source", f"{report.source}, perplexity {report.source_perplexity or 0:.4f}"),
            ("KL divergence", f"{report.kld_mean:.5f} ± {report.kld_error or 0:.5f}"),
            ("KL divergence, 99%", f"{report.kld_p99 or 0:.5f}"),
            ("same first choice", f"{100 * (report.top_1 or 0):.2f}%"),
        ]
    return [*rows, ("measured", report.time)]


def _plot(report: QualityReport, args: argparse.Namespace, out: Output) -> None:
    from runner.cli.plot import Curve, plot, save  # seldom asked for

    curves = [Curve(f"{args.model} {report.quantization}", report.running)]
    if report.source:
        curves.append(Curve(report.source, report.source_running))
    image = plot(curves, title="perplexity", x="windows read")
    out.say(f"drew {save(image, args.plot, f'corral perplexity {args.model}')}")

"""``corral list``: the models in the library."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from typing import Any

from runner.cli import human
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.domain.model import ModelInfo

_JSON_HELP = """\
--json prints an array of objects:
  name digest size modified_at architecture parameters quantization
  context_length embedding_length capabilities
sizes in bytes, times in RFC 3339, parameters as a count of weights"""


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "list",
        aliases=["ls"],
        help="list the models in the library",
        description="List the models in the library, last changed first.",
        epilog=_JSON_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("prefix", nargs="?", default="", help="only names that begin with this")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Print the library."""
    models = matching(client.list_models(), args.prefix)
    if args.json:
        out.json([as_json(model) for model in models])
    else:
        print_table(models, out)
        if not models and not args.prefix:
            out.whisper("nothing is here yet; begin with: corral run smollm2")
    return 0


def matching(models: list[ModelInfo], prefix: str) -> list[ModelInfo]:
    """Return the models whose names begin with ``prefix``, whatever the letters' case."""
    return [model for model in models if str(model.name).lower().startswith(prefix.lower())]


def print_table(models: list[ModelInfo], out: Output) -> None:
    """Print the library as a table."""
    now = time.time()
    out.table(
        ("NAME", "ID", "SIZE", "MODIFIED"),
        [
            (str(m.name), m.digest[:12], human.size(m.n_bytes), human.ago(m.modified_at, now))
            for m in models
        ],
    )


def as_json(model: ModelInfo) -> dict[str, Any]:
    """Return the stable keys of one model."""
    return {
        "name": str(model.name),
        "digest": model.digest,
        "size": model.n_bytes,
        "modified_at": rfc3339(model.modified_at),
        "architecture": model.architecture,
        "parameters": model.n_params,
        "quantization": model.quantization,
        "context_length": model.n_ctx_train,
        "embedding_length": model.n_embd,
        "capabilities": list(model.capabilities),
    }


def rfc3339(moment: float) -> str:
    """Return seconds since the epoch as a time in UTC, to the second."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

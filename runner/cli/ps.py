"""``corral ps``: the models in memory, and the requests that they answer."""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

from runner.cli import human
from runner.cli.connect import Need
from runner.cli.list_ import rfc3339
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.domain.model import RunningModel
from runner.domain.running import RunningRequest

_JSON_HELP = """\
--json prints an array of objects:
  name digest size size_vram context_length expires_at pid active_requests steps tokens
  devices note needed pinned
sizes in bytes; expires_at in RFC 3339, null for a model that stays loaded; devices: name and
layers of each that has some; note: why fewer are there than was wanted

--requests --json prints an array of objects:
  id model state position priority client n_prompt n_cached n_generated started seconds
position 1 is next, 0 runs; started in RFC 3339"""


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "ps",
        help="list the models in memory",
        description="List the models in memory, the one that stays longest first, "
        "or the requests that run or wait.",
        epilog=_JSON_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("prefix", nargs="?", default="", help="only names that begin with this")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--requests",
        action="store_true",
        help="list requests instead, with their place in the queue",
    )
    parser.set_defaults(run=run, need=Need.RUNNING)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Print the models in memory, or the requests."""
    prefix = args.prefix.lower()
    if args.requests:
        found = [r for r in client.requests() if str(r.model).lower().startswith(prefix)]
        _print_requests(found, args, out)
        return 0
    models = [m for m in client.running() if str(m.info.name).lower().startswith(prefix)]
    if args.json:
        out.json([as_json(model) for model in models])
        return 0
    now = time.time()
    out.table(
        ("NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"),
        [
            (
                str(m.info.name),
                m.info.digest[:12],
                human.size(m.n_resident),
                processor(m.n_resident, m.n_vram),
                str(m.n_ctx),
                human.until(m.expires_at, now),
            )
            for m in models
        ],
    )
    for model in models:
        if model.note:
            out.say(f"{model.info.name}: {model.note}")
    for name, load in client.loading().items():
        if name.lower().startswith(prefix):
            out.say(f"{name} is being loaded: {load.stage}, {load.percent} %")
    return 0


def _print_requests(requests: list[RunningRequest], args: argparse.Namespace, out: Output) -> None:
    if args.json:
        out.json([request_as_json(request) for request in requests])
        return
    out.table(
        ("ID", "MODEL", "STATE", "CLASS", "CLIENT", "PROMPT", "CACHED", "GENERATED", "TIME"),
        [
            (
                r.id,
                str(r.model),
                f"{r.state} {r.position}" if r.position else str(r.state),
                str(r.priority),
                r.client_id,
                str(r.n_prompt),
                str(r.n_cached),
                str(r.n_generated),
                human.span(r.seconds),
            )
            for r in requests
        ],
    )


def request_as_json(request: RunningRequest) -> dict[str, Any]:
    """Return the stable keys of one request."""
    return {
        "id": request.id,
        "model": str(request.model),
        "state": request.state.value,
        "position": request.position,
        "priority": request.priority.value,
        "client": request.client_id,
        "n_prompt": request.n_prompt,
        "n_cached": request.n_cached,
        "n_generated": request.n_generated,
        "started": rfc3339(request.started_at),
        "seconds": request.seconds,
    }


def processor(n_resident: int, n_vram: int) -> str:
    """Return which share of a model's bytes lies where, as Ollama words it."""
    if n_vram == 0:
        return "100% CPU"
    if n_vram == n_resident:
        return "100% GPU"
    if n_vram > n_resident:
        return "Unknown"
    cpu = round((n_resident - n_vram) / n_resident * 100)
    return f"{cpu}%/{100 - cpu}% CPU/GPU"


def as_json(model: RunningModel) -> dict[str, Any]:
    """Return the stable keys of one model."""
    return {
        "name": str(model.info.name),
        "digest": model.info.digest,
        "size": model.n_resident,
        "size_vram": model.n_vram,
        "context_length": model.n_ctx,
        "expires_at": None if math.isinf(model.expires_at) else rfc3339(model.expires_at),
        "pid": model.pid,
        "active_requests": model.n_active,
        "steps": model.n_steps,
        "tokens": model.n_tokens,
        "needed": model.n_needed,
        "pinned": model.is_pinned,
        "devices": [{"name": name, "layers": n} for name, n in model.placed],
        "note": model.note,
    }

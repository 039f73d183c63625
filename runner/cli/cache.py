"""``corral cache``: the prompts that are kept, so that the next one like them starts at once."""

from __future__ import annotations

import argparse
import time
from typing import Any

from runner.cli import human
from runner.cli.connect import Need
from runner.cli.list_ import rfc3339
from runner.cli.output import Output
from runner.cli.parser import Subparsers, UsageError
from runner.client.client import Client
from runner.domain.cache import CachedPrompt, CacheReport, CacheTier
from runner.errors import ModelNotFound

_JSON_HELP = """\
--json prints an object:
  prompts           array: model digest owner tier tokens size created_at last_used_at
  resident_tokens   tokens in the contexts of the models in memory
  memory_size       memory that kept prompts take
  disk_size         disk that kept prompts take
  disk_limit        what they may take of it (CORRAL_KV_DISK)
and after clear: prompts and size, of what was removed
sizes in bytes; times in RFC 3339; no text of any prompt"""


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "cache",
        help="show or clear the prompts that are kept",
        description="Show or clear what is kept of prompts, in memory and on disk.",
        epilog=_JSON_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "action",
        nargs="?",
        choices=("show", "clear"),
        default="show",
        help="show, unless given, or clear",
    )
    parser.add_argument(
        "model", nargs="?", default="", help="after clear: only the prompts of this model"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.set_defaults(run=run, need=Need.RUNNING)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Print a line for each prompt and the sums, or clear.

    Raises:
        UsageError: A model is named although nothing is to be cleared.
    """
    if args.action == "clear":
        return _clear(args, client, out)
    if args.model:
        raise UsageError(f"show takes no model, not '{args.model}'", hint="see: corral cache -h")
    report = client.cache()
    if args.json:
        out.json(as_json(report))
        return 0
    now = time.time()
    out.table(
        ("MODEL", "WHERE", "TOKENS", "SIZE", "LAST USED"),
        [
            (
                prompt.model or f"deleted ({prompt.digest.removeprefix('sha256:')[:12]})",
                prompt.tier.value,
                str(prompt.n_tokens),
                human.size(prompt.n_bytes),
                human.ago(prompt.used_s, now),
            )
            for prompt in report.prompts
        ],
    )
    out.say(totals(report))
    return 0


def _clear(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Remove kept prompts; none to remove is no failure."""
    try:
        cleared = client.clear_cache(args.model)
    except ModelNotFound as error:
        error.hint = "what is there: corral list"  # and not how to pull it
        raise
    if args.json:
        out.json({"prompts": cleared.n_prompts, "size": cleared.n_bytes})
    else:
        out.say(f"removed {_prompts(cleared.n_prompts)}, {human.size(cleared.n_bytes)}")
    return 0


def totals(report: CacheReport) -> str:
    """Return the sums in one line."""
    n_on_disk = sum(prompt.tier is CacheTier.DISK for prompt in report.prompts)
    if report.n_disk_max:
        disk = f"disk: {_prompts(n_on_disk)}, {human.size(report.n_disk_bytes)}"
        disk += f" of {human.size(report.n_disk_max)}"
    else:
        disk = "disk: off"
    return (
        f"in use: {report.n_resident_tokens} tokens;"
        f" memory: {_prompts(len(report.prompts) - n_on_disk)},"
        f" {human.size(report.n_memory_bytes)}; {disk}"
    )


def _prompts(n: int) -> str:
    return "1 prompt" if n == 1 else f"{n} prompts"


def as_json(report: CacheReport) -> dict[str, Any]:
    """Return the stable keys."""
    return {
        "prompts": [_prompt(prompt) for prompt in report.prompts],
        "resident_tokens": report.n_resident_tokens,
        "memory_size": report.n_memory_bytes,
        "disk_size": report.n_disk_bytes,
        "disk_limit": report.n_disk_max,
    }


def _prompt(prompt: CachedPrompt) -> dict[str, Any]:
    return {
        "model": prompt.model,
        "digest": prompt.digest,
        "owner": prompt.owner_id,
        "tier": prompt.tier.value,
        "tokens": prompt.n_tokens,
        "size": prompt.n_bytes,
        "created_at": rfc3339(prompt.created_s),
        "last_used_at": rfc3339(prompt.used_s),
    }

"""``corral keys``: who else may use this daemon."""

from __future__ import annotations

import argparse
import time

from runner.cli.connect import Need
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.domain.key import Key, Scope

_SCOPES_HELP = """\
scopes:
  infer   answers and vectors, and the list of models
  manage  the library, the memory, downloads, other clients' requests
  admin   everything but files of this machine: settings, secrets and keys too

The key is printed once and kept nowhere; programs send it as 'Authorization: Bearer KEY'
or 'x-api-key: KEY', this command takes it from CORRAL_API_KEY."""


def add(commands: Subparsers) -> None:
    """Register the command and the three below it."""
    parser = commands.add_parser(
        "keys",
        help="API keys for other people and machines",
        description="API keys: who else may use this daemon, and for what.",
    )
    parser.set_defaults(need=Need.STARTED)
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    adding = actions.add_parser(
        "add",
        help="make a key",
        description="Make a key and print it.",
        epilog=_SCOPES_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    adding.add_argument("name", help="whom or what it is for")
    adding.add_argument(
        "--scope",
        action="append",
        choices=[scope.value for scope in Scope],
        help="what it opens (infer); may be repeated",
    )
    adding.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a model it may use, * for any text; may be repeated (all)",
    )
    adding.add_argument("--expires", metavar="WHEN", help="30d, 12h or 2030-01-31 (never)")
    adding.add_argument(
        "--rate", type=int, default=0, metavar="N", help="requests a minute; 0: any number (0)"
    )
    adding.add_argument("--json", action="store_true", help="print JSON")
    adding.set_defaults(run=run_add)
    listing = actions.add_parser("list", help="show the keys, without their secrets")
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")
    listing.set_defaults(run=run_list)
    revoking = actions.add_parser("revoke", help="take a key away")
    revoking.add_argument("id", help="of the key; see: corral keys list")
    revoking.set_defaults(run=run_revoke)


def run_add(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Make a key; stdout has nothing but it."""
    key, secret = client.add_key(
        args.name,
        scopes=args.scope,
        models=args.model,
        n_per_minute=args.rate,
        expires=args.expires,
    )
    if args.json:
        out.json({**as_json(key), "key": secret})
        return 0
    out.text(secret)
    out.say(f"that is the key of '{key.name}' (id {key.id}); it is not shown again")
    return 0


def run_list(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Show the keys."""
    keys = client.keys()
    if args.json:
        out.json([as_json(key) for key in keys])
    elif keys:
        heads = ("ID", "NAME", "SCOPES", "MODELS", "RATE", "EXPIRES", "LAST USED")
        out.table(heads, [_row(key) for key in keys])
    else:
        out.say("there are no keys; make one with: corral keys add NAME")
    return 0


def run_revoke(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Take a key away; it is refused from the next request on."""
    client.revoke_key(args.id)
    out.say(f"revoked key {args.id}")
    return 0


def as_json(key: Key) -> dict[str, object]:
    """Return the stable keys of one; moments in seconds since the epoch."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "models": list(key.models),
        "requests_per_minute": key.n_per_minute,
        "created": key.created_at,
        "expires": key.expires_at,
        "last_used": key.used_at,
    }


def _row(key: Key) -> tuple[str, ...]:
    return (
        key.id,
        key.name,
        " ".join(sorted(key.scopes)),
        " ".join(key.models) or "all",
        f"{key.n_per_minute}/min" if key.n_per_minute else "-",
        _day(key.expires_at, "never"),
        _day(key.used_at, "not yet"),
    )


def _day(moment: float | None, none: str) -> str:
    return none if moment is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))

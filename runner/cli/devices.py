"""``corral devices``: the devices of other machines that this daemon has the key of."""

from __future__ import annotations

import argparse
import getpass
import os
import sys

from runner.cli.connect import Need
from runner.cli.output import Output
from runner.cli.parser import Subparsers, UsageError
from runner.client.client import Client
from runner.domain.devices import device_address, is_address

#: Where a key is taken from when nobody can be asked for it.
KEY_VARIABLE = "CORRAL_DEVICE_KEY"


def add(commands: Subparsers) -> None:
    """Register the command and those below it."""
    parser = commands.add_parser(
        "devices",
        help="devices of other machines",
        description="Devices of other machines, which run 'corral share'. This machine's own are"
        " shown by: corral doctor",
    )
    parser.set_defaults(need=Need.STARTED)
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    adding = actions.add_parser(
        "add",
        help="keep the key of a device",
        description="Keep the key of a device, once that has accepted it.",
        epilog=f"The key is asked for, or read from {KEY_VARIABLE}.",
    )
    adding.add_argument("address", help="HOST:PORT, as 'corral share' prints it there")
    adding.set_defaults(run=run_add)
    listing = actions.add_parser("list", help="show the devices, without their keys")
    listing.add_argument("--json", action="store_true", help="print JSON instead of a table")
    listing.set_defaults(run=run_list)
    removing = actions.add_parser("rm", help="forget a device and its key")
    removing.add_argument("address", help="of the device; see: corral devices list")
    removing.set_defaults(run=run_rm)


def run_add(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Add one."""
    address = device_address(args.address)
    client.add_device(address, _key(address))
    out.say(f"added {address}; use it with: corral run --device {address} MODEL")
    return 0


def run_list(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Show them."""
    found = client.devices()
    if args.json:
        out.json([{"address": each.address, "lost": each.is_lost} for each in found])
    elif found:
        out.table(
            ("ADDRESS", "STATE"),
            [(each.address, "lost a moment ago" if each.is_lost else "known") for each in found],
        )
    else:
        out.say("there are none; make one with 'corral share' on another machine")
    return 0


def run_rm(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Forget one."""
    address = device_address(args.address)
    client.remove_device(address)
    out.say(f"removed {address}")
    return 0


def introduce(words: list[str], client: Client, out: Output) -> None:
    """Have the daemon know every address in ``words``; keys that it lacks are asked for.

    Raises:
        UsageError: One is needed, and nobody can be asked.
        DeviceError: A device cannot be reached, or refuses its key.
    """
    wanted = [device_address(word) for word in words if is_address(word)]
    if not wanted:
        return
    known = {each.address for each in client.devices()}
    for address in wanted:
        if address not in known:
            client.add_device(address, _key(address))
            out.say(f"added {address}")


def _key(address: str) -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if key:
        return key
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(
            f"the key of {address} is needed, and nobody can be asked for it",
            hint=f"'corral share' shows it on that machine; hand it over in {KEY_VARIABLE}",
        )
    try:
        return getpass.getpass(f"key of {address} (it is not shown): ")
    except EOFError:
        raise UsageError(f"the key of {address} is needed") from None

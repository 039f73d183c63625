"""``corral share``: let another machine's models compute on this one.  Works without a daemon."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

from runner import logs
from runner.cli.connect import Need
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client.client import Client
from runner.domain.devices import SHARE_PORT, device_address
from runner.errors import AddressInUse, CorralError
from runner.paths import find_paths, own_command
from runner.relay.handshake import new_key
from runner.relay.offered import Offered
from runner.relay.provider import Provider

_EPILOG = """\
Whoever has the key may compute here, with this machine's memory and graphics cards, until Ctrl-C.
The key is checked without being sent; what follows is not encrypted: share in a network that you
trust, or through a tunnel. The key is kept for the next time; --new-key makes another one."""


def add(commands: Subparsers) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "share",
        help="let another machine's models compute on this one",
        description="Offer this machine's graphics cards, or its processor where there are none,"
        " to models of another machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--listen",
        default=f"0.0.0.0:{SHARE_PORT}",
        metavar="HOST:PORT",
        help="where to wait for the other machine (%(default)s)",
    )
    parser.add_argument(
        "--device",
        action="append",
        default=[],
        metavar="NAME",
        help="a device to offer, as 'corral doctor' shows it; may be repeated (all graphics cards)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        metavar="N",
        help="threads of a processor that is offered; 0: one for each core (0)",
    )
    parser.add_argument("--new-key", action="store_true", help="make a new key; the old one ends")
    parser.set_defaults(run=run, need=Need.ALONE)


def run(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Serve until Ctrl-C; what the other side has to type goes to stdout."""
    logs.configure("info")
    address = device_address(args.listen)
    command = own_command("_offer", str(args.threads or os.cpu_count() or 1), *args.device)
    _tell_devices(command, out)
    key = _key(find_paths().share_key_file, is_new=args.new_key)
    with _listener(address) as listener:
        port = listener.getsockname()[1]
        out.text("On the other machine, type:")
        out.text(f"  corral run --device {_reachable(address, port)} smollm2")
        out.text("and when it asks for the key:")
        out.text(f"  {key}")
        out.flush()
        provider = Provider(listener, key, lambda: Offered(command))
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            provider.serve()
        finally:
            provider.close()
    return 0


def _tell_devices(command: list[str], out: Output) -> None:
    """Say what will be offered; find out now whether anything can be."""
    with out.waiting("looking for devices"):
        offered = Offered(command)
        offered.close()
    for device in offered.told["devices"]:
        free = int(device["n_free"]) / 1e9
        out.say(f"offering {device['name']}: {device['description']}, {free:.1f} GB free")


def _listener(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=16)
    except OSError as error:
        raise AddressInUse(
            f"cannot listen on {address}: {error.strerror or error}",
            hint=f"name another port: corral share --listen {host}:{int(port) + 1}",
        ) from None


def _reachable(address: str, port: int) -> str:
    """Where the other machine finds this one: a wildcard is no place to connect to."""
    host = address.rpartition(":")[0]
    if host in ("0.0.0.0", "[::]"):
        host = _own_address()
    return f"{host}:{port}"


def _own_address() -> str:
    """The address that this machine has in its network; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # RFC 5737: an address that nobody has
        return str(probe.getsockname()[0])
    return socket.gethostname()


def _key(path: Path, *, is_new: bool) -> str:
    """Return the key, made when there is none; only its owner can read the file."""
    try:
        kept = path.read_text(encoding="ascii").strip() if path.exists() else ""
        if kept and not is_new:
            return kept
        key = new_key()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with open(path, "x", encoding="ascii", opener=_private) as file:
            file.write(key + "\n")
        return key
    except (OSError, UnicodeDecodeError) as error:
        raise CorralError(
            f"the key cannot be kept in {path}: {getattr(error, 'strerror', None) or error}",
            hint="make the folder writable, or set CORRAL_HOME to one that is",
        ) from None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)

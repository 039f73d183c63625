"""``corral daemon``: look after the process in the background."""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner.cli.connect import Need, place, refuse_others, start
from runner.cli.output import Output
from runner.cli.parser import Subparsers
from runner.client import launch
from runner.client.client import Client
from runner.client.launch import Found, Kind
from runner.config import load_settings
from runner.domain.address import Address
from runner.errors import DaemonError
from runner.paths import Paths

_FOLLOW_S = 0.2


def add(commands: Subparsers) -> None:
    """Register the command and the five below it."""
    parser = commands.add_parser(
        "daemon",
        help="status, start, stop, restart or logs of the daemon",
        description="Look after the daemon, the process in the background that holds the models.",
    )
    parser.set_defaults(need=Need.NOTHING)
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    status = actions.add_parser("status", help="say whether it runs, where, and what it holds")
    status.add_argument("--json", action="store_true", help="print JSON instead of a table")
    status.set_defaults(run=run_status)
    actions.add_parser("start", help="start it if it does not run").set_defaults(run=run_start)
    actions.add_parser("stop", help="end it and the models in memory").set_defaults(run=run_stop)
    actions.add_parser("restart", help="end it if it runs, and start it").set_defaults(
        run=run_restart
    )
    logs = actions.add_parser("logs", help="print the end of its log")
    logs.add_argument("-n", "--lines", type=_count, default=50, metavar="N", help="how many lines")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    logs.set_defaults(run=run_logs)


def run_status(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Say how the daemon is; exit code 1 when there is none."""
    paths, address = place()
    found = _find(address)
    status: dict[str, Any] = {"running": found.kind is Kind.CORRAL, "address": str(address)}
    if found.kind is Kind.CORRAL:
        running = client.running()
        status |= {
            "version": found.version,
            **_pid(paths, address),
            "models": [str(model.info.name) for model in running],
            "active_requests": sum(model.n_active for model in running),
        }
    models = paths.with_models(load_settings(paths.config_file).models).models
    status |= {"library": str(models), "log": str(paths.daemon_log)}
    if args.json:
        out.json(status)
    else:
        status["running"] = "yes" if status["running"] else "no"
        shown = {**status, "models": ", ".join(status.get("models", [])) or "none in memory"}
        if found.kind is not Kind.CORRAL:
            del shown["models"]
        out.table((), [(key.replace("_", " "), str(value)) for key, value in shown.items()])
    return 0 if found.kind is Kind.CORRAL else 1


def run_start(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Start the daemon; one that runs already is no failure."""
    paths, address = place()
    found = _find(address)
    if found.kind is Kind.CORRAL:
        out.say(f"Corral {found.version} is running already, at {address}")
        return 0
    _start(paths, address, out)
    return 0


def run_stop(args: argparse.Namespace, client: Client, out: Output) -> int:
    """End the daemon; one that does not run is no failure."""
    paths, address = place()
    if _find(address).kind is Kind.NOTHING:
        out.say("the Corral daemon is not running")
        return 0
    _end(paths, address, out)
    return 0


def run_restart(args: argparse.Namespace, client: Client, out: Output) -> int:
    """End the daemon if it runs, and start one of this version."""
    paths, address = place()
    if _find(address).kind is Kind.CORRAL:
        _end(paths, address, out)
    _start(paths, address, out)
    return 0


def run_logs(args: argparse.Namespace, client: Client, out: Output) -> int:
    """Print the end of the log, and what is added to it from then on."""
    paths, _ = place()
    log = paths.daemon_log
    if not log.exists():
        raise DaemonError(
            f"there is no log yet at {log}",
            hint="a daemon started with 'corral serve' writes to its own terminal;"
            " one of systemd's to: journalctl --user -u corral",
        )
    end = log.stat().st_size
    for line in launch.last_lines(log, args.lines):
        out.text(line)
    if args.follow:
        for text in _added(log, end):
            out.stream(text)
    return 0


def _find(address: Address) -> Found:
    """What answers there; raises when it is neither ours nor nothing."""
    found = launch.probe(address)
    if found.kind is not Kind.NOTHING:
        refuse_others(found, address)
    return found


def _start(paths: Paths, address: Address, out: Output) -> None:
    found = start(paths, address, out)
    out.say(f"Corral {found.version} listens at {address}")


def _end(paths: Paths, address: Address, out: Output) -> None:
    out.say("stopping the Corral daemon ...")
    is_followed = launch.stop(paths, address)
    out.say("stopped")
    if is_followed:
        out.say(
            "another one has taken its place, as corral.socket of systemd has it;"
            " end both with: systemctl --user stop corral.socket corral.service"
        )


def _pid(paths: Paths, address: Address) -> dict[str, int]:
    """The daemon's process id, if the record is about the one at this address."""
    pid = launch.daemon_record(paths).get("pid")
    if isinstance(pid, int) and launch.find_token(paths, address):
        return {"pid": pid}
    return {}


def _added(log: Path, start: int) -> Iterator[str]:
    """Yield what is written to ``log`` after the byte ``start``, for ever."""
    while True:
        with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
            if file.seek(0, os.SEEK_END) < start:
                start = 0  # it was begun anew
            file.seek(start)
            raw = file.read()
            start += len(raw)
            if raw:
                yield raw.decode(errors="replace")
        time.sleep(_FOLLOW_S)


def _count(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"want a number of lines, not '{text}'")
    return value

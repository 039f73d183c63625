"""From a command to a daemon that can serve it: found, told apart, started, restarted."""

from __future__ import annotations

from enum import Enum, auto

from runner import __version__
from runner.cli.output import Output
from runner.client import launch
from runner.client.client import Client
from runner.client.launch import Found, Kind
from runner.config import load_settings
from runner.domain.address import DEFAULT_ADDRESS, Address
from runner.errors import AddressInUse, CorralError, DaemonError
from runner.paths import Paths, find_paths


class Need(Enum):
    """What a command wants of the daemon."""

    STARTED = auto()  # one that answers; it is started when there is none
    RUNNING = auto()  # one that answers already
    NOTHING = auto()  # the command finds out by itself
    ALONE = auto()  # it asks no daemon, and works though a setting cannot be read


def place() -> tuple[Paths, Address]:
    """Return where this program's files are and where its daemon answers.

    Raises:
        InvalidRequest: A setting cannot be understood.
    """
    paths = find_paths()
    return paths, load_settings(paths.config_file).host


def connect(need: Need, out: Output) -> Client:
    """Return a client for a command with this ``need``.

    Raises:
        AddressInUse: Another program answers on the daemon's address.
        DaemonError: No daemon answers, and none is to be started or none starts.
    """
    if need is Need.ALONE:
        return Client(DEFAULT_ADDRESS.url)
    paths, address = place()
    if need is Need.NOTHING:
        return launch.client_for(paths, address)
    found = look(address, out)
    if found.kind is Kind.NOTHING:
        if need is Need.RUNNING:
            raise not_running(address)
        start(paths, address, out)
    else:
        refuse_others(found, address)
        if not found.is_ours:
            _settle_versions(found, paths, address, out)
    return launch.client_for(paths, address)


def look(address: Address, out: Output) -> Found:
    """Return what answers on ``address``; one that is silent has the time that a start takes."""
    found = launch.probe(address)
    if found.kind is Kind.SILENT:
        out.say(f"waiting for an answer from {address} ...")
        found = launch.probe(address, timeout_s=launch.START_S)
    return found


def start(paths: Paths, address: Address, out: Output) -> Found:
    """Start the daemon and say so."""
    out.say("starting the Corral daemon ...")
    found = launch.start(paths, address)
    refuse_others(found, address)
    return found


def not_running(address: Address) -> DaemonError:
    """Return the error for a command that has nothing to do without a daemon."""
    return DaemonError(
        f"the Corral daemon is not running (nothing answers at {address})",
        hint="it starts with the first command that needs it, for example: corral list",
    )


def refuse_others(found: Found, address: Address) -> None:
    """Do nothing when a Corral daemon was found.

    Raises:
        AddressInUse: Something else was; the message names it.
    """
    if found.kind is Kind.CORRAL:
        return
    if found.kind is Kind.OLLAMA:
        version = f" {found.version}" if found.version else ""
        raise AddressInUse(
            f"Ollama{version} answers at {address}, where the Corral daemon should",
            hint=f"stop Ollama, or use another port: CORRAL_HOST={address.next_one}",
        )
    if found.kind is Kind.SILENT:
        raise AddressInUse(
            f"a program takes connections at {address}, and says nothing",
            hint="if it is the daemon, see: corral daemon logs; if not, stop it, or use another"
            f" port: CORRAL_HOST={address.next_one}",
        )
    raise AddressInUse(
        f"another program answers at {address}, where the Corral daemon should",
        hint=f"stop it, or use another port: CORRAL_HOST={address.next_one}",
    )


def _settle_versions(found: Found, paths: Paths, address: Address, out: Output) -> None:
    """Offer to replace a daemon of another version, unless that would break an answer off."""
    text = f"the daemon is Corral {found.version}, this command is Corral {__version__}"
    if not out.can_ask:
        out.warn(text, hint="restart it with: corral daemon restart")
        return
    out.warn(text)
    if n_active := _count_active(launch.client_for(paths, address)):
        what = "a request" if n_active == 1 else f"{n_active} requests"
        out.say(f"  it is answering {what}; restart it later with: corral daemon restart")
    elif out.ask("  restart it?"):
        launch.stop(paths, address)
        start(paths, address, out)


def _count_active(client: Client) -> int:
    try:
        return sum(model.n_active for model in client.running())
    except CorralError:
        return 0  # of a version too far from ours to tell

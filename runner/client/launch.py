"""Find the daemon, tell it from what else may answer on its address, and start it.

Two programs that start it at once end up with one daemon: a lock lets one of them start it while
the other waits for the answer, and a daemon that finds another one serving ends by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from runner import __version__
from runner.client.client import Client
from runner.client.connection import Exchange, Json
from runner.client.http1 import BadReply
from runner.domain.address import Address, parse_address
from runner.errors import DaemonError
from runner.paths import Paths, given_path, own_command

if TYPE_CHECKING:
    import subprocess

PROBE_S = 3.0  # longest wait for a daemon that is there
START_S = 60.0  # longest wait for one that starts: from a slow disk, on a busy machine
STOP_S = 30.0  # longest wait for one that finishes its answers
_YIELD_S = 1.5  # a daemon of ours that ended may have left the place to another one
_LEAST_FREE = 1 << 16  # bytes: with less, no daemon writes its first files
_LOG_LIMIT = 4 * 1024 * 1024  # bytes; a longer log is put aside
_PATH_VARIABLES = ("CORRAL_HOME", "CORRAL_MODELS", "PYTHONPATH")


class Kind(Enum):
    """What answers on an address."""

    NOTHING = auto()
    CORRAL = auto()  # of any version
    OLLAMA = auto()
    STRANGER = auto()  # accepts connections, but is neither
    SILENT = auto()  # accepts connections, and has not answered: systemd does, for one that starts


@dataclass(frozen=True, slots=True)
class Found:
    """What ``probe`` found.

    Attributes:
        kind: Who it is.
        version: Its version; empty where unknown.
    """

    kind: Kind
    version: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether it is a Corral daemon of this program's own version."""
        return self.kind is Kind.CORRAL and self.version == __version__


def probe(address: Address, timeout_s: float = PROBE_S) -> Found:
    """Return what answers on ``address``.

    Raises:
        DaemonError: The address cannot be reached at all (no such host, no route).
    """
    try:
        headers, body = _get(address, "/api/version", timeout_s)
        if version := headers.get("x-corral-version"):
            return Found(Kind.CORRAL, version)
        _, greeting = _get(address, "/", timeout_s)
    except DaemonError as error:
        if isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError):
            return Found(Kind.NOTHING)
        if isinstance(error.__cause__, TimeoutError):
            return Found(Kind.SILENT)
        if isinstance(error.__cause__, ConnectionError | BadReply):
            return Found(Kind.STRANGER)
        raise
    if b"Ollama is running" in greeting:
        return Found(Kind.OLLAMA, _version_in(body))
    return Found(Kind.STRANGER)


def find_token(paths: Paths, address: Address) -> str:
    """Return the owner's token for the daemon on ``address``; empty when it is not ours to know.

    The token goes to the address that the daemon wrote beside it and to no other.
    """
    record = daemon_record(paths)
    token, where = record.get("token"), record.get("address")
    if not isinstance(token, str) or not isinstance(where, str):
        return ""
    try:
        same = _reachable(parse_address(where)) == _reachable(address)
    except ValueError:
        return ""
    return token if same else ""


def daemon_record(paths: Paths) -> Json:
    """Return what the running daemon wrote about itself; empty when there is nothing to read."""
    try:
        value = json.loads(paths.daemon_file.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def client_for(paths: Paths, address: Address) -> Client:
    """Return a client of the daemon on ``address``.

    It has the owner's token where that is due, else the key in ``CORRAL_API_KEY``.
    """
    token = find_token(paths, address) or os.environ.get("CORRAL_API_KEY", "").strip()
    return Client(address.url, token, address.certificate)


def start(
    paths: Paths, address: Address, *, command: Sequence[str] = (), deadline_s: float = START_S
) -> Found:
    """Start a daemon in the background and return once one answers on ``address``.

    Args:
        paths: Where it logs.
        address: Where it will answer; it reads the same settings as we do.
        command: How to start it; by default this program's own way.
        deadline_s: How long to wait for the answer.

    Raises:
        DaemonError: It ended before it answered (with the end of its log), or never answered.
    """
    if not _is_local(address):
        raise DaemonError(
            f"no daemon answers at {address}",
            hint="that is another machine: start it there, or unset CORRAL_HOST",
        )
    deadline = time.monotonic() + deadline_s
    process, ended_at, log_start = None, 0.0, 0
    with _lock_file(paths) as lock:
        for _ in _moments(deadline):
            found = probe(address, timeout_s=max(0.1, deadline - time.monotonic()))
            if found.kind is not Kind.NOTHING:
                if process is not None:
                    process.returncode = 0  # it outlives us on purpose: no ResourceWarning
                return found
            if process is None:
                if _try_lock(lock.fileno()):
                    put_aside(paths.daemon_log)
                    log_start = _size(paths.daemon_log)
                    process = _spawn(paths, command or own_command("serve"))
            elif process.poll() is not None:
                ended_at = ended_at or time.monotonic()
                if time.monotonic() - ended_at > _YIELD_S:
                    raise _ended(paths, process.returncode, log_start)
    if process is not None and process.poll() is None:
        process.terminate()
        process.wait()
    raise DaemonError(
        f"the daemon did not answer at {address} within {deadline_s:g} s",
        hint=f"its log may say why: {paths.daemon_log}",
    )


def stop(paths: Paths, address: Address) -> bool:
    """End the daemon, and return when it is gone: whether another one has taken its place.

    Raises:
        DaemonError: It still answers after ``STOP_S``.
    """
    before = daemon_record(paths).get("pid")

    def is_followed() -> bool:
        now = daemon_record(paths).get("pid")
        return None not in (before, now) and now != before

    client_for(paths, address).shutdown()
    wait_until_gone(address, is_followed=is_followed)
    return is_followed()


def wait_until_gone(
    address: Address, deadline_s: float = STOP_S, *, is_followed: Callable[[], bool] = bool
) -> None:
    """Return when nothing answers on ``address`` any more, or its follower does.

    Args:
        address: Where the daemon listens that was asked to end.
        deadline_s: How long to wait.
        is_followed: Whether another daemon has taken its place: systemd starts one by its socket
            as soon as somebody asks there, and to look is to ask.

    Raises:
        DaemonError: It still answers after ``deadline_s``.
    """
    for _ in _moments(time.monotonic() + deadline_s):
        if probe(address).kind is Kind.NOTHING or is_followed():
            return
    raise DaemonError(
        f"the daemon at {address} has not ended within {deadline_s:g} s",
        hint="see what it is doing with: corral daemon logs",
    )


def last_lines(log: Path, n_lines: int, start_at: int = 0) -> list[str]:
    """Return the last lines of ``log`` written after the byte ``start_at``; none if missing."""
    n_bytes = 64 * 1024 + 512 * n_lines  # enough for lines of ordinary length
    try:
        with log.open("rb") as file:
            file.seek(max(start_at, file.seek(0, os.SEEK_END) - n_bytes))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-n_lines:] if n_lines > 0 else []


def _get(address: Address, path: str, timeout_s: float) -> tuple[Mapping[str, str], bytes]:
    exchange = Exchange(address.url, "GET", path, body=None, certificate=address.certificate)
    try:
        try:
            response = exchange.open(timeout_s)
        except DaemonError as error:
            if exchange.has_reached or not isinstance(error.__cause__, TimeoutError):
                raise
            # Nobody was there to take the connection: no program, and none of ours to start.
            raise DaemonError(error.message, hint="check CORRAL_HOST, and the network") from None
        try:
            return response.headers, response.read(4096)
        except (OSError, BadReply) as error:
            raise DaemonError(f"{address} broke its answer off") from error
    finally:
        exchange.release()


def _version_in(body: bytes) -> str:
    try:
        return str(json.loads(body)["version"])
    except (ValueError, KeyError, TypeError):
        return ""


def _reachable(address: Address) -> str:
    return address.url.replace("//localhost:", "//127.0.0.1:").lower()


def _is_local(address: Address) -> bool:
    """Whether a program on this machine could listen there."""
    if address.is_loopback:
        return True
    try:
        family = socket.getaddrinfo(address.host, 0, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.bind((address.host, 0))
    except OSError:
        return False
    return True


def _moments(deadline: float) -> Iterator[None]:
    """Yield at once and then after growing pauses, from 10 ms to 200 ms, until ``deadline``."""
    pause_s = 0.01
    yield
    while time.monotonic() < deadline:
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, 0.2)
        yield


def _lock_file(paths: Paths) -> BinaryIO:
    """Who starts the daemon holds this locked; the lock ends with its holder, however it ends."""
    try:
        paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        return (paths.run / "start.lock").open("a+b")
    except OSError as error:
        raise DaemonError(
            f"cannot write to {paths.run}: {error.strerror}", hint="CORRAL_HOME can move it"
        ) from None


def _try_lock(fd: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _spawn(paths: Paths, command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start ``command`` so that it outlives us and this terminal; its output goes to the log."""
    import subprocess  # here, because most runs of the CLI find a daemon and need none

    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    try:
        paths.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        with paths.daemon_log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(sys.executable).anchor,  # where we stand may be unmounted or deleted
                env=_fixed(os.environ),
                **apart,
            )
    except OSError as error:
        raise DaemonError(f"cannot start the daemon: {error}") from None


def put_aside(log: Path) -> bool:
    """Keep a long log as the old one, in place of the last old one; return whether it was long."""
    if _size(log) > _LOG_LIMIT:
        with contextlib.suppress(OSError):  # Windows, while somebody has it open: next time, then
            log.replace(log.with_suffix(".log.old"))
            return True
    return False


def _fixed(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with relative paths made absolute, since the daemon stands elsewhere."""
    fixed = dict(environ)
    for name in _PATH_VARIABLES:
        if value := fixed.get(name):
            parts = value.split(os.pathsep) if name == "PYTHONPATH" else [value]
            fixed[name] = os.pathsep.join(str(given_path(part).absolute()) for part in parts)
    return fixed


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _free(path: Path) -> int:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return _LEAST_FREE


def _ended(paths: Paths, code: int, log_start: int) -> DaemonError:
    lines = last_lines(paths.daemon_log, 8, log_start)
    if not lines and (n_free := _free(paths.daemon_log)) < _LEAST_FREE:
        return DaemonError(
            f"the daemon cannot start, nor say why: {n_free} bytes are free on the disk of"
            f" {paths.daemon_log.parent}",
            hint="make room there, or set CORRAL_HOME to a folder on another disk",
        )
    said = "\n".join(f"  {line}" for line in lines) or "  (it said nothing)"
    return DaemonError(
        f"the daemon ended with exit code {code} before it answered:\n{said}",
        hint="to see it start: corral serve",
    )

"""The part of the client that is about the daemon's keeping: settings, secrets, machine, log.

All but the machine's figures need the owner's token or an admin key.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import quote

from runner.client import decode, decode_keeping, decode_storage
from runner.client.connection import ANSWER_S, Exchange, Json, decoded
from runner.client.decode_keeping import Change, KeptSettings, Load
from runner.client.http1 import BadReply, Response
from runner.domain.job import Job
from runner.domain.machine import MachineReport
from runner.domain.model import RunningModel
from runner.domain.running import RunningRequest
from runner.domain.storage import Folder, FolderPlan
from runner.errors import DaemonError

#: Longest silence of ``Events``, in seconds: the daemon gives a sign of life every 15.
SILENCE_S = 40.0


class Keeping(ABC):
    """Mixed into ``Client``, which says how a call is made."""

    def settings(self) -> KeptSettings:
        """Return all settings, and which secrets are set."""
        return decoded(decode_keeping.settings, self._call("GET", "/api/settings"))

    def change_settings(self, changes: Mapping[str, Any]) -> KeptSettings:
        """Change settings, all or none; ``None`` takes a value away.  Return all as they are."""
        value = self._call("PATCH", "/api/settings", dict(changes))
        return decoded(decode_keeping.settings, value)

    def put_secret(self, name: str, value: str | None) -> None:
        """Set a hub's token, which nobody is ever told again; ``None`` takes it away."""
        self._call("PUT", f"/api/secrets/{quote(name, safe='')}", {"value": value})

    def machine(self) -> MachineReport:
        """Return memory, devices and limits as they are now."""
        return decoded(decode_keeping.machine, self._call("GET", "/api/machine"))

    def folder(self) -> Folder:
        """Return where the models are kept."""
        return decoded(decode_storage.folder, self._call("GET", "/api/folder"))

    def plan_folder(self, folder: str | None) -> FolderPlan:
        """Return what it would take to have the models there; ``None``: in the usual folder."""
        body = {"folder": folder, "dry_run": True}
        return decoded(decode_storage.folder_plan, self._call("POST", "/api/folder", body))

    def use_folder(self, folder: str | None) -> FolderPlan:
        """Use the models that are there; those that are here stay here."""
        body = {"folder": folder, "move": False}
        return decoded(decode_storage.folder_plan, self._call("POST", "/api/folder", body))

    def begin_move(self, folder: str | None) -> Job:
        """Begin to move the models there; return the job."""
        return decoded(decode.job, self._call("POST", "/api/folder", {"folder": folder}))

    def log_lines(self, n_lines: int) -> list[str]:
        """Return the last lines of the daemon's log, the oldest first."""
        exchange = self._exchange("GET", f"/api/logs?lines={n_lines}", None)
        try:
            return exchange.reply(ANSWER_S).read().decode("utf-8", "replace").splitlines()
        except (OSError, BadReply) as error:
            raise DaemonError(f"the daemon's log cannot be read: {error}") from None
        finally:
            exchange.release()

    def events(self) -> Events:
        """Return all that there is, and then what changes."""
        return Events(self._exchange("GET", "/api/events", None))

    @abstractmethod
    def _exchange(self, method: str, path: str, body: Json | None) -> Exchange: ...

    @abstractmethod
    def _call(
        self, method: str, path: str, body: Json | None = None, *, model: str = ""
    ) -> Json: ...


class Events:
    """What changes in the daemon: one thread iterates, ``close`` may come from any.

    ``None`` is a sign of life.  The iteration ends when the daemon does.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __iter__(self) -> Generator[Change | None, None, None]:
        """Yield what changes.

        Raises:
            CorralError: The daemon refuses, or what it sends cannot be read.
        """
        try:
            response = self._exchange.reply(SILENCE_S)
            yield from decode_keeping.changes(_lines(response))
        except (OSError, BadReply, ValueError) as error:
            if not self._exchange.is_closed:
                raise DaemonError(f"the daemon's events cannot be read: {error}") from None
        finally:
            self._exchange.release()

    def close(self) -> None:
        """End it; who waits for the next event wakes."""
        self._exchange.close()


def running_of(change: Change) -> list[RunningModel] | None:
    """Return the models in memory that an event tells; ``None``: it is about something else."""
    value = _part(change, "worker")
    return None if value is None else decoded(lambda v: decode.running(v, now=time.time()), value)


def loads_of(change: Change) -> dict[str, Load] | None:
    """Return how far each model is on its way into memory; ``None``: it is about something else."""
    value = _part(change, "load")
    return None if value is None else decoded(decode_keeping.loads, value)


def requests_of(change: Change) -> list[RunningRequest] | None:
    """Return the requests that an event tells; ``None``: it is about something else."""
    value = _part(change, "request")
    return None if value is None else decoded(decode.requests, value)


def jobs_of(change: Change) -> list[Job] | None:
    """Return the jobs that a snapshot tells; ``None``: it is about something else."""
    if change.kind != "snapshot" or "jobs" not in change.value:
        return None
    return decoded(decode.jobs, change.value)


def job_of(change: Change) -> Job | None:
    """Return the job that changed; ``None``: it is about something else."""
    return decoded(decode.job, change.value) if change.kind == "job" else None


def _part(change: Change, kind: str) -> Json | None:
    if change.kind == kind:
        return change.value
    value = change.value.get(kind) if change.kind == "snapshot" else None
    return value if isinstance(value, dict) else None


def _lines(response: Response) -> Generator[bytes, None, None]:
    while line := response.readline():
        yield line

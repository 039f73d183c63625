"""The daemon's JSON about its keeping, decoded: settings, secrets, the machine, what changes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from runner.client.connection import Json
from runner.domain.machine import Device, MachineReport, UnusedCard
from runner.domain.setting import SettingState

_Source = Literal["environment", "file", "default"]


@dataclass(frozen=True, slots=True)
class KeptSettings:
    """All settings, and of secrets only which there are.

    Attributes:
        settings: Each setting as it is now.
        secrets: Whether each is set, by its name.
        places: Where those are kept that are set: ``file`` or ``keyring``.
    """

    settings: tuple[SettingState, ...]
    secrets: Mapping[str, bool] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One event: its kind, and the object that the path of that kind answers with."""

    kind: str
    value: Json


@dataclass(frozen=True, slots=True)
class Load:
    """How far a model is on its way into memory.

    Attributes:
        stage: A word of ``LoadStage``; of a later daemon, another one.
        percent: Of that stage, from 0 to 100.
    """

    stage: str
    percent: int


def settings(value: Json) -> KeptSettings:
    """``GET /api/settings`` and the answer of ``PATCH``."""
    return KeptSettings(
        settings=tuple(_setting(row) for row in value["settings"]),
        secrets={str(name): bool(is_set) for name, is_set in value["secrets"].items()},
        places={str(name): str(at) for name, at in (value.get("secret_places") or {}).items()},
    )


def machine(value: Json) -> MachineReport:
    """``GET /api/machine``."""
    return MachineReport(
        n_cores=int(value["cores"]),
        n_memory=int(value["memory"]),
        n_available=int(value["memory_available"]),
        n_daemon=int(value.get("daemon_memory") or 0),
        devices=tuple(
            Device(
                id=str(one["id"]),
                kind=str(one["kind"]),
                name=str(one["name"]),
                n_memory=int(one.get("memory") or 0),
                n_available=int(one.get("memory_available") or 0),
                is_used=bool(one.get("used", True)),
                order=int(one.get("order") or 0),
                note=str(one.get("note") or ""),
            )
            for one in value.get("devices") or ()
        ),
        limits=tuple((str(k), int(v)) for k, v in (value.get("limits") or {}).items()),
        n_loads=int(value.get("model_loads") or 0),
        n_evictions=int(value.get("model_evictions") or 0),
        unused_cards=tuple(
            UnusedCard(str(one["vendor"]), str(one["needs"]), str(one["command"]))
            for one in value.get("unused_cards") or ()
        ),
    )


def loads(value: Json) -> dict[str, Load]:
    """The event ``load``: what is on its way, by the models' names."""
    return {
        str(one["model"]): Load(str(one["status"]), int(one["percent"])) for one in value["loads"]
    }


def changes(lines: Iterable[bytes]) -> Iterable[Change | None]:
    """Yield the events of ``GET /api/events``; ``None`` is a sign of life.

    The form is that of server-sent events (WHATWG HTML, 9.2.6); lines end in LF here, and an
    event has one line of data.

    Raises:
        ValueError: Data that are not a JSON object.
    """
    kind = ""
    for line in lines:
        name, _, text = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
        if name == "event":
            kind = text.strip()
        elif name == "data":
            value = json.loads(text)
            if not isinstance(value, dict):
                raise ValueError("an event's data are not an object")
            yield Change(kind, value)
        elif not name and text:
            yield None


def _setting(row: Json) -> SettingState:
    source = str(row["source"])
    return SettingState(
        name=str(row["name"]),
        value=str(row["value"]),
        default=str(row["default"]),
        source=cast(_Source, source) if source in get_args(_Source) else "file",
        variable=str(row.get("variable") or ""),
        help=str(row.get("help") or ""),
        is_live=bool(row.get("live")),
        is_pending=bool(row.get("pending")),
    )

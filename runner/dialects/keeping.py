"""Corral's own API for its keeping: keys, settings, secrets, the machine."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from runner.dialects import wire
from runner.dialects.ollama import rfc3339
from runner.domain.duration import parse_duration
from runner.domain.key import Key, NewKey, Scope
from runner.domain.machine import MachineReport
from runner.domain.name import ModelName
from runner.domain.setting import SettingState
from runner.errors import InvalidName, InvalidRequest

_MAX_NAME = 80
_MAX_MODELS = 100
_MAX_RATE = 1_000_000
_DAYS = re.compile(r"(\d{1,5})d")


class KeyBody(msgspec.Struct, forbid_unknown_fields=True):
    """``POST /api/keys``; ``expires`` is a span such as ``30d`` or ``12h``, or a moment.

    A field that is not known is refused: a limit that is misspelt would be none.
    """

    name: str
    scopes: list[str] | None = None
    models: list[str] | None = None
    requests_per_minute: int | None = None
    expires: str | None = None


class SecretBody(msgspec.Struct, forbid_unknown_fields=True):
    """``PUT /api/secrets/{name}``; null takes it away."""

    value: str | None


class KeyRow(msgspec.Struct):
    """One key; moments in RFC 3339."""

    id: str
    name: str
    scopes: list[str]
    models: list[str]
    requests_per_minute: int
    created_at: str
    expires_at: str | None
    last_used_at: str | None


class SettingRow(msgspec.Struct):
    """One setting; ``live``: a change counts at once, ``pending``: another value still runs."""

    name: str
    value: str
    default: str
    source: str
    variable: str
    help: str
    live: bool
    pending: bool


_key_body = msgspec.json.Decoder(KeyBody)
_secret_body = msgspec.json.Decoder(SecretBody)
_changes = msgspec.json.Decoder(dict[str, Any])


def parse_key(body: bytes, *, now: float) -> NewKey:
    """Return the key that a body asks for; ``now`` in seconds since the epoch.

    Raises:
        InvalidRequest: A field is missing, mistyped or out of range.
    """
    asked = wire.decode(body, _key_body)
    name = asked.name.strip()
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidRequest(f"'name' must be 1 to {_MAX_NAME} printable characters", param="name")
    rate = asked.requests_per_minute or 0
    if not 0 <= rate <= _MAX_RATE:
        raise InvalidRequest(
            f"'requests_per_minute' must be from 0 (no limit) to {_MAX_RATE}, not {rate}",
            param="requests_per_minute",
        )
    return NewKey(
        name=name,
        scopes=_scopes(asked.scopes),
        models=_models(asked.models or []),
        n_per_minute=rate,
        expires_at=None if asked.expires is None else _expiry(asked.expires.strip(), now),
    )


def parse_secret(body: bytes) -> str | None:
    """Return the value that a body sets; ``None`` or nothing takes it away."""
    return wire.decode(body, _secret_body).value or None


def parse_changes(body: bytes) -> Mapping[str, Any]:
    """Return the settings that a body changes."""
    return wire.decode(body, _changes)


def keys(found: Sequence[Key]) -> bytes:
    """Return ``GET /api/keys``; never a secret."""
    return wire.encode({"keys": [_row(key) for key in found]})


def new_key(key: Key, secret: str) -> bytes:
    """Return ``POST /api/keys``: the one time that the secret is told."""
    return wire.encode({**msgspec.structs.asdict(_row(key)), "key": secret})


def settings(
    found: Sequence[SettingState], secrets: Mapping[str, bool], places: Mapping[str, str]
) -> bytes:
    """Return ``GET /api/settings``; of secrets only whether they are set, and where they are."""
    rows = [
        SettingRow(
            one.name,
            one.value,
            one.default,
            one.source,
            one.variable,
            one.help,
            one.is_live,
            one.is_pending,
        )
        for one in found
    ]
    return wire.encode({"settings": rows, "secrets": dict(secrets), "secret_places": dict(places)})


def machine(report: MachineReport) -> bytes:
    """Return ``GET /api/machine``; sizes in bytes."""
    return wire.encode(
        {
            "cores": report.n_cores,
            "memory": report.n_memory,
            "memory_available": report.n_available,
            "daemon_memory": report.n_daemon,
            "devices": [
                {
                    "id": device.id,
                    "kind": device.kind,
                    "name": device.name,
                    "memory": device.n_memory,
                    "memory_available": device.n_available,
                    "used": device.is_used,
                    "order": device.order,
                    "note": device.note,
                }
                for device in report.devices
            ],
            "limits": dict(report.limits),
            "model_loads": report.n_loads,
            "model_evictions": report.n_evictions,
            "unused_cards": [
                {"vendor": card.vendor, "needs": card.needs, "command": card.command}
                for card in report.unused_cards
            ],
        }
    )


def _row(key: Key) -> KeyRow:
    return KeyRow(
        id=key.id,
        name=key.name,
        scopes=sorted(key.scopes),
        models=list(key.models),
        requests_per_minute=key.n_per_minute,
        created_at=_moment(key.created_at),
        expires_at=None if key.expires_at is None else _moment(key.expires_at),
        last_used_at=None if key.used_at is None else _moment(key.used_at),
    )


def _moment(seconds: float) -> str:
    return rfc3339(round(seconds * 1e6) * 1000)


def _scopes(texts: list[str] | None) -> frozenset[Scope]:
    if texts is None:
        return frozenset({Scope.INFER})
    try:
        found = frozenset(Scope(text.lower()) for text in texts)
    except ValueError:
        found = frozenset()
    if not found:
        words = ", ".join(Scope)
        raise InvalidRequest(f"'scopes' must name at least one of {words}", param="scopes")
    return found


def _models(texts: list[str]) -> tuple[str, ...]:
    if len(texts) > _MAX_MODELS:
        raise InvalidRequest(f"'models' may have {_MAX_MODELS} names at most", param="models")
    for text in texts:
        try:
            # A star stands for characters that a name can have.
            ModelName.parse(text.replace("*", "x"))
        except InvalidName as error:
            raise InvalidRequest(f"'models': {error.message}", param="models") from None
    return tuple(texts)


def _expiry(text: str, now: float) -> float:
    """A moment from a span or a moment.

    Raises:
        InvalidRequest: It is neither, or already over.
    """
    try:
        if days := _DAYS.fullmatch(text):
            at = now + 86400.0 * int(days[1])
        elif text[:1].isdigit() and "T" not in text and "-" not in text:
            at = now + parse_duration(text)
        else:
            at = datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"'expires' must be a span or a moment, not '{text[:40]}'",
            hint="such as 30d, 12h or 2030-01-31T12:00:00Z",
            param="expires",
        ) from None
    latest = time.mktime((9999, 1, 1, 0, 0, 0, 0, 0, 0))
    if not now < at < latest:
        raise InvalidRequest("'expires' is not in the future", param="expires")
    return at

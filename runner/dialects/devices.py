"""Corral's own API for devices of other machines."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runner.dialects import wire
from runner.domain.devices import SharedDevice


class DeviceBody(msgspec.Struct):
    """``POST /api/devices``: what ``corral share`` shows on the other machine."""

    address: str
    key: str


class DeviceRow(msgspec.Struct):
    """One device; ``lost``: it is left out for a while."""

    address: str
    lost: bool


class DeviceList(msgspec.Struct):
    """``GET /api/devices``."""

    devices: list[DeviceRow]


class RemovedDevice(msgspec.Struct):
    """``DELETE /api/devices/{address}``."""

    removed: str


_device_body = msgspec.json.Decoder(DeviceBody)


def parse_device(body: bytes) -> tuple[str, str]:
    """Return address and key.

    Raises:
        InvalidRequest: One is missing or no text.
    """
    asked = wire.decode(body, _device_body)
    return asked.address, asked.key


def device(found: SharedDevice) -> bytes:
    """Return one device, without its key."""
    return wire.encode(_row(found))


def removed(found: SharedDevice) -> bytes:
    """Return which one was forgotten."""
    return wire.encode(RemovedDevice(found.address))


def devices(found: Sequence[SharedDevice]) -> bytes:
    """Return all."""
    return wire.encode(DeviceList([_row(each) for each in found]))


def _row(found: SharedDevice) -> DeviceRow:
    return DeviceRow(found.address, found.is_lost)

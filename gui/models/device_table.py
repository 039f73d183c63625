"""What computes in the daemon's machine, as a table: processors and accelerators."""

from __future__ import annotations

from collections.abc import Iterable

from gui import figures
from gui.models.table import Column, Table
from gui.words import tr
from runner.domain.machine import Device

#: Kinds of devices in words; English.
KINDS = {
    "cpu": "Processor",
    "gpu": "Graphics",
    "igpu": "Graphics in the processor",
    "accel": "Accelerator",
    "rpc": "Another machine",
}


def device_table() -> Table[Device]:
    """Return an empty table of devices."""
    columns: tuple[Column[Device], ...] = (
        Column("Device", lambda d: d.name or d.id, tip=lambda d: d.id),
        Column("In use", use_text, _turn, tip=use_text),
        Column("Kind", lambda d: tr(KINDS.get(d.kind.lower(), d.kind))),
        Column("Memory", lambda d: _size(d.n_memory), lambda d: d.n_memory, is_number=True),
        Column("Free", lambda d: _size(d.n_available), lambda d: d.n_available, is_number=True),
    )
    return Table[Device](columns, key=lambda device: device.id)


def use_text(device: Device) -> str:
    """Return whether models are put on a device, and in which turn."""
    if device.note:
        return tr("Out of reach") if device.kind.lower() == "rpc" else tr("Cannot be used")
    if not device.is_used:
        return tr("Left out")
    if device.order:
        return tr("Filled as number {n}", n=device.order)
    return tr("Yes")


def notes(devices: Iterable[Device]) -> list[str]:
    """Return why devices cannot be used, a line each."""
    return [f"{device.name or device.id}: {device.note}" for device in devices if device.note]


def _turn(device: Device) -> tuple[bool, bool, int]:
    """Those that are filled, in their order; then who takes the rest, then who takes nothing."""
    is_out = bool(device.note) or not device.is_used
    return is_out, not device.order, device.order


def _size(n_bytes: int) -> str:
    return figures.size(n_bytes) if n_bytes else ""

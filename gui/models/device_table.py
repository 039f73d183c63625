"""What computes in the daemon's machine, as a table: processors and accelerators."""

from __future__ import annotations

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
        Column("Kind", lambda d: tr(KINDS.get(d.kind.lower(), d.kind))),
        Column("Memory", lambda d: _size(d.n_memory), lambda d: d.n_memory, is_number=True),
        Column("Free", lambda d: _size(d.n_available), lambda d: d.n_available, is_number=True),
    )
    return Table[Device](columns, key=lambda device: device.id)


def _size(n_bytes: int) -> str:
    return figures.size(n_bytes) if n_bytes else ""

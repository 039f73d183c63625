"""The machine and what the daemon takes of it, at one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """Something that computes; memory in bytes, 0 where it is not known.

    Attributes:
        id: What the setting ``devices`` calls it: ``CPU``, ``CUDA0``, ``10.0.0.5:11435``.
        kind: ``cpu``, ``gpu``, ``igpu`` (shares main memory), ``accel`` or ``rpc`` (another
            machine's).
        name: What its driver calls it.
        n_memory: Its memory.
        n_available: What of that is free.
        is_used: Whether models are put there; a processor takes what goes nowhere else.
        order: Which of those that layers are put on is filled first, from 1; 0: none are.
        note: Why it cannot be used now; empty: it can.
    """

    id: str
    kind: str
    name: str
    n_memory: int
    n_available: int
    is_used: bool = True
    order: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class UnusedCard:
    """A graphics card that the engine, as it was built, cannot use, and what to do about it.

    Attributes:
        vendor: Who made it.
        needs: What has to be installed before.
        command: What builds the engine for it.
    """

    vendor: str
    needs: str
    command: str


@dataclass(frozen=True, slots=True)
class MachineReport:
    """What ``GET /api/machine`` tells.

    Attributes:
        n_cores: Cores that models may use.
        n_memory: Main memory, in bytes.
        n_available: Of it, what could be used now.
        n_daemon: What the daemon's own process holds, the models' apart.
        devices: What computes.
        limits: Numbers in force, by the names of their settings.
        n_loads: Models loaded since the daemon started.
        n_evictions: Models that had to go for another one.
        unused_cards: What could compute, and does not.
    """

    n_cores: int
    n_memory: int
    n_available: int
    n_daemon: int
    devices: tuple[Device, ...]
    limits: tuple[tuple[str, int], ...] = ()
    n_loads: int = 0
    n_evictions: int = 0
    unused_cards: tuple[UnusedCard, ...] = ()

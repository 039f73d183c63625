"""What the engine can compute on, asked of a process that ends with its answer.

Drivers are loaded for it, which may crash or keep memory: that is not for the daemon.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.errors import WorkerError

#: Seconds for drivers to load.
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class EngineDevice:
    """A device as llama.cpp tells of it; memory in bytes.

    Attributes:
        name: ``CPU``, ``CUDA0``, ``Vulkan1``.
        description: What its driver calls it.
        kind: ``cpu``, ``gpu``, ``igpu`` (shares main memory), ``accelerator`` or ``other``.
        n_total: Its memory.
        n_free: What of that is free.
        hardware_id: The same for one card that two drivers show; empty: not known.
    """

    name: str
    description: str
    kind: str
    n_total: int
    n_free: int
    hardware_id: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """Which llama.cpp this is, and its devices in its own order."""

    build: str
    devices: tuple[EngineDevice, ...]


async def take_inventory(command: Sequence[str], patience_s: float = _PATIENCE_S) -> Inventory:
    """Return what the engine has.

    Args:
        command: The command line of the process, ``engine/devices.py``.
        patience_s: Seconds it may take.

    Raises:
        WorkerError: It did not start, died, or took too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise _failed(str(error)) from None
    try:
        async with asyncio.timeout(patience_s):
            out, said = await process.communicate()
    except TimeoutError:
        raise _failed(f"it said nothing for {patience_s:g} seconds") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last = said.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise _failed(last[0] if last else f"its process ended with {process.returncode}")
    try:
        told: dict[str, Any] = json.loads(out)
        return Inventory(str(told["build"]), tuple(map(device_of, told["devices"])))
    except (ValueError, KeyError, TypeError):
        raise _failed("its process said nothing of use") from None


def device_of(told: Mapping[str, Any]) -> EngineDevice:
    """Return a device as this or another machine's engine told of it.

    Raises:
        KeyError: Something is missing.
        ValueError: A size is no number.
        TypeError: It is none at all.
    """
    return EngineDevice(
        name=str(told["name"]),
        description=str(told["description"]),
        kind=str(told["kind"]),
        n_total=int(told["n_total"]),
        n_free=int(told["n_free"]),
        hardware_id=str(told.get("hardware_id", "")),
    )


def _failed(reason: str) -> WorkerError:
    return WorkerError(
        f"llama.cpp does not start: {reason}", hint="see what is wrong with it: corral doctor"
    )

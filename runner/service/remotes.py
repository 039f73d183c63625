"""Devices of other machines: their keys, and which of them were lost a moment ago.

The keys lie in a file of mode 0600 and are told to nobody but the workers that need them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from runner.domain.devices import SharedDevice, device_address, is_address
from runner.errors import DeviceError, InvalidRequest
from runner.protocol.messages import Load, Remote
from runner.relay.caller import call
from runner.service.private import PrivateFile

logger = logging.getLogger(__name__)

_MAX_KEY = 200
#: Seconds for which a lost device is left out: what broke it should not break the next load, too.
LOST_S = 60.0
#: Devices greeted at once: one that says nothing keeps its caller waiting for a minute.
_N_CALLS = 2


class RemoteService:
    """All of them; owns the file.  ``equip`` and ``note_lost`` are the pool's to call."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file; blocks.

        Raises:
            StoreError: It cannot be read, is damaged, or of a later version.
        """
        self._file = PrivateFile(
            path, "devices", "the keys of devices", "remove the file 'devices' and add them again"
        )
        self._clock = clock
        self._keys = self._file.read()
        self._lost: dict[str, float] = {}
        self._writing = asyncio.Lock()
        self._callers = ThreadPoolExecutor(_N_CALLS, thread_name_prefix="device-call")

    def list_devices(self) -> list[SharedDevice]:
        """Return all that have a key."""
        return [SharedDevice(address, self._is_lost(address)) for address in sorted(self._keys)]

    async def add(self, text: str, key: str) -> SharedDevice:
        """Keep the key of a device, once that has accepted it.

        Raises:
            InvalidRequest: The address is none, or the key can be none.
            DeviceError: The device cannot be reached, or refuses the key.
            StoreError: The key cannot be saved.
        """
        address = device_address(text)
        key = key.strip()
        if not (0 < len(key) <= _MAX_KEY and key.isascii() and key.isprintable()):
            raise InvalidRequest(
                "'key' must be what 'corral share' shows on the other machine", param="key"
            )
        loop = asyncio.get_running_loop()
        peer, _ = await loop.run_in_executor(self._callers, call, address, key)
        peer.close()
        await self._save(address, key)
        self._lost.pop(address, None)
        logger.info("device added address=%s", address)
        return SharedDevice(address)

    async def devices_of(self, address: str) -> list[Mapping[str, Any]]:
        """Return what another machine says of its devices, as ``engine.devices`` does.

        Raises:
            DeviceError: It cannot be reached, refuses the key, or says nothing of use.
        """
        loop = asyncio.get_running_loop()
        key = self._keys.get(address, "")
        peer, told = await loop.run_in_executor(self._callers, call, address, key)
        peer.close()
        found = told.get("devices")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise DeviceError(f"the device {address} does not say what it has")
        return found

    async def remove(self, text: str) -> SharedDevice:
        """Forget a device and its key; models that use it go on.

        Raises:
            InvalidRequest: There is none of that address.
        """
        address = device_address(text)
        if address not in self._keys:
            raise no_key(address)
        await self._save(address, None)
        self._lost.pop(address, None)
        logger.info("device removed address=%s", address)
        return SharedDevice(address)

    def equip(self, load: Load) -> Load:
        """Return ``load`` with the keys of the devices that it names; those lost are left out.

        Raises:
            InvalidRequest: One of them has no key here.
        """
        remotes, lost = [], []
        for word in load.devices:
            address = word.removeprefix("-")
            if not is_address(address) or word != address:
                continue
            if address not in self._keys:
                raise no_key(address)
            if self._is_lost(address):
                lost.append(address)
            else:
                remotes.append(Remote(address, self._keys[address]))
        return replace(load, remotes=tuple(remotes), lost=tuple(lost))

    def note_lost(self, address: str) -> None:
        """Leave a device out for a while."""
        logger.warning("lost device address=%s, left out for %g s", address, LOST_S)
        self._lost[address] = self._clock()

    def _is_lost(self, address: str) -> bool:
        at_s = self._lost.get(address)
        return at_s is not None and self._clock() - at_s < LOST_S

    async def _save(self, address: str, key: str | None) -> None:
        """Write a device's key, or ``None`` for one that is gone, beside those of the others."""
        async with self._writing:
            keys = {name: known for name, known in self._keys.items() if name != address}
            if key is not None:
                keys[address] = key
            await asyncio.to_thread(self._file.write, keys)
            self._keys = keys


def no_key(address: str) -> InvalidRequest:
    """Return the error of who names a device whose key the owner has not added."""
    return InvalidRequest(
        f"there is no key for the device {address}",
        hint=f"'corral share' on that machine shows it; then: corral devices add {address}",
        param="devices",
    )

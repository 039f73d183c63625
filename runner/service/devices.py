"""What models can be computed on: this machine's devices, and those of others that it has keys of.

Both are asked of processes that end with their answer, and remembered: of a build that knows
nothing but the processor for ever, else for a minute.  Whoever asks meanwhile hears what was known.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from runner.domain.device_order import chosen, chosen_without, words_of
from runner.domain.devices import is_address
from runner.domain.machine import Device
from runner.domain.placement import Place
from runner.errors import CorralError, DeviceError, InvalidRequest, WorkerError
from runner.service.remotes import RemoteService, no_key
from runner.workers.inventory import EngineDevice, Inventory, device_of

logger = logging.getLogger(__name__)

#: Seconds for which what was told of free memory counts, and until a failure is tried again.
_FRESH_S = 60.0
#: Seconds that a first listing waits for other machines.
_REMOTE_S = 8.0
#: Kinds as ``domain.machine`` has them, where llama.cpp has another word.
_KINDS = {"accelerator": "accel"}


@dataclass(frozen=True, slots=True)
class _Row:
    """A device, with what ``domain.device_order`` wants to know of it."""

    name: str
    device: EngineDevice
    is_remote: bool = False
    note: str = ""

    @property
    def kind(self) -> str:
        """What stands for another machine takes layers, whatever it is there."""
        return "gpu" if self.is_remote else self.device.kind

    @property
    def hardware_id(self) -> str:
        """See ``device_order.Ordered``."""
        return "" if self.is_remote else self.device.hardware_id


@dataclass(frozen=True, slots=True)
class Usable:
    """Where a load may put layers, the first to be filled first; and why not where it was to."""

    places: tuple[Place, ...] = ()
    notes: tuple[str, ...] = ()


class DeviceList:
    """Knows all devices; used from the event loop's thread only."""

    def __init__(
        self,
        take_inventory: Callable[[], Awaitable[Inventory]],
        remotes: RemoteService,
        words: Callable[[], Sequence[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what is needed.

        Args:
            take_inventory: Asks the engine; see ``workers.inventory``.
            remotes: Those of other machines.
            words: Returns the setting ``devices`` that is in force.
            clock: Seconds.
        """
        self._take_inventory = take_inventory
        self._remotes = remotes
        self._words = words
        self._clock = clock
        self._own: tuple[_Row, ...] = ()
        self._others: dict[str, tuple[_Row, ...]] = {}
        self._own_until_s = self._others_until_s = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._engine_asked = asyncio.Event()

    async def check(self, words: Sequence[str] | None) -> None:
        """Return if this machine has each device that is named; addresses are let through.

        Args:
            words: As ``device_order.chosen`` has them; ``None``: those of the setting count.

        Raises:
            InvalidRequest: ``words`` names one that there is not.
            DeviceError: The setting does.
        """
        told = self._words() if words is None else words
        own = [word for word in told if not is_address(word)]
        if all(word.lower() in ("cpu", "-cpu") for word in own):
            return
        self._start()
        await self._engine_asked.wait()
        try:
            if self._own:  # else it is not known, and whoever loads is told
                chosen(self._own, own)
        except InvalidRequest as error:
            if words is not None:
                raise
            raise DeviceError(f"the setting {error.message}", hint=error.hint) from None

    async def usable(self, words: Sequence[str] | None) -> Usable:
        """Return where a load puts layers now that names these devices, or those of the setting.

        Raises:
            InvalidRequest: One is not known, or there is no key for it.
            DeviceError: The setting names one that is not known.
        """
        await self.check(words)
        told = self._words() if words is None else words
        named = [word for word in told if is_address(word) and not word.startswith("-")]
        lost = {one.address: one.is_lost for one in self._remotes.list_devices()}
        if unknown := [word for word in named if word not in lost]:
            raise no_key(unknown[0])
        await self.look()
        others = [row for word in named for row in self._others.get(word, ())]
        notes = [f"{word} was lost, and is left out for a while" for word in named if lost[word]]
        notes += [row.note for row in others if row.note]
        there = [row for row in others if not row.note and not lost[row.name.partition("#")[0]]]
        gone = set(named) - {row.name for row in there}
        rows = chosen_without([*self._own, *there], told, gone) if self._own else there
        return Usable(
            tuple(
                Place(
                    row.name,
                    row.kind,
                    row.device.n_free,
                    is_remote=row.is_remote,
                    hardware_id=row.hardware_id,
                )
                for row in rows
            ),
            tuple(notes),
        )

    async def look(self) -> None:
        """Bring what is known up to date; waits only for what is not known at all."""
        addresses = self._start()
        if self._looking and (not self._own or addresses - self._others.keys()):
            await asyncio.shield(self._looking)

    def _start(self) -> set[str]:
        """Begin to ask what is not known or old; return the addresses that have keys."""
        addresses = {one.address for one in self._remotes.list_devices()}
        now = self._clock()
        is_stale = now >= self._own_until_s or (addresses and now >= self._others_until_s)
        if self._looking is None and (is_stale or addresses - self._others.keys()):
            self._looking = asyncio.create_task(self._look(sorted(addresses)))
            self._looking.add_done_callback(self._looked)
        return addresses

    async def close(self) -> None:
        """Give up what is being asked."""
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    def devices(self, n_memory: int, n_available: int, processor: str) -> tuple[Device, ...]:
        """Return all devices that are known, in llama.cpp's order, other machines' last.

        Args:
            n_memory: Main memory, in bytes: llama.cpp does not know what this process may use.
            n_available: What of it is free.
            processor: What to call the processor where llama.cpp has not been asked.
        """
        cpu = EngineDevice("CPU", processor, "cpu", n_memory, n_available)
        rows = list(self._own or [_Row("CPU", cpu)])
        keys = {one.address: one.is_lost for one in self._remotes.list_devices()}
        rows += [row for address in keys for row in self._others.get(address, ())]
        order = self._order([row for row in rows if not row.note])
        found = []
        for row in rows:
            one, is_cpu = row.device, row.device.kind == "cpu" and not row.is_remote
            is_lost = row.is_remote and keys.get(row.name.partition("#")[0], False)
            place = order.get(row.name, 0)
            found.append(
                Device(
                    id=row.name,
                    kind="rpc" if row.is_remote else _KINDS.get(one.kind, one.kind),
                    name=one.description,
                    n_memory=n_memory if is_cpu else one.n_total,
                    n_available=n_available if is_cpu else one.n_free,
                    is_used=is_cpu or place > 0,
                    order=place,
                    note=row.note or ("it was lost a moment ago" if is_lost else ""),
                )
            )
        return tuple(found)

    def _order(self, rows: Sequence[_Row]) -> dict[str, int]:
        """Which place each device has that models are put on, from 1, by its name."""
        words = self._words()
        named = {word.lower() for word in words if not word.startswith("-")}
        # Other machines' are used where they are named, and not otherwise.
        here = [row for row in rows if not row.is_remote or named & words_of(row)]
        known = {"cpu"}.union(*map(words_of, here))
        try:
            used = chosen(here, [w for w in words if w.lower() in known or not is_address(w)])
        except InvalidRequest:
            return {}  # nothing can be loaded so, and whoever tries is told why
        return {row.name: number for number, row in enumerate(used, start=1)}

    async def _look(self, addresses: Sequence[str]) -> None:
        asked = asyncio.gather(*(self._ask(address) for address in addresses))
        _, others = await asyncio.gather(self._ask_engine(), asked)
        self._others = dict(zip(addresses, others, strict=True))
        self._others_until_s = self._clock() + _FRESH_S

    async def _ask_engine(self) -> None:
        only_cpu = False
        try:
            inventory = await self._take_inventory()
            self._own = tuple(_Row(one.name, one) for one in inventory.devices)
            only_cpu = all(row.device.kind == "cpu" for row in self._own)
        except WorkerError as error:
            logger.warning("devices are not known: %s", error.message)
        finally:
            self._own_until_s = float("inf") if only_cpu else self._clock() + _FRESH_S
            self._engine_asked.set()

    async def _ask(self, address: str) -> tuple[_Row, ...]:
        try:
            async with asyncio.timeout(_REMOTE_S):
                told = await self._remotes.devices_of(address)
            found = [device_of(one) for one in told]
        except TimeoutError:
            note = f"the device {address} did not answer within {_REMOTE_S:g} seconds"
        except CorralError as error:
            note = error.message
        except (KeyError, TypeError, ValueError):
            note = f"the device {address} does not say what it has"
        else:
            names = [f"{address}#{number}" if number else address for number in range(len(found))]
            return tuple(_Row(n, one, is_remote=True) for n, one in zip(names, found, strict=True))
        return (_Row(address, EngineDevice(address, "", "other", 0, 0), True, note),)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        self._engine_asked.set()
        if not task.cancelled() and (error := task.exception()):
            logger.error("looking for devices failed: %r", error)

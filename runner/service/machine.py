"""The machine as it is now, for people and for Prometheus."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cache

import psutil

from runner.domain.machine import MachineReport, UnusedCard
from runner.service.devices import DeviceList
from runner.workers.devices import n_cores
from runner.workers.graphics import build_command, build_needs, built, usable, vendors
from runner.workers.pool import Pool


class MachineService:
    """Measures when asked."""

    def __init__(
        self,
        pool: Pool,
        devices: DeviceList,
        limits: Callable[[], tuple[tuple[str, int], ...]],
    ) -> None:
        """Take what is needed; ``limits`` returns the numbers in force by their settings' names."""
        self._pool = pool
        self._devices = devices
        self._limits = limits

    async def look(self) -> None:
        """Have the next report tell of devices what there is; seldom waits."""
        await self._devices.look()

    def report(self) -> MachineReport:
        """Return how the machine is."""
        memory = psutil.virtual_memory()
        name = platform.processor() or platform.machine()
        total, available = int(memory.total), int(memory.available)
        return MachineReport(
            n_cores=n_cores(),
            n_memory=total,
            n_available=available,
            n_daemon=int(psutil.Process().memory_info().rss),
            devices=self._devices.devices(total, available, name),
            limits=self._limits(),
            n_loads=self._pool.n_loads,
            n_evictions=self._pool.n_evictions,
            unused_cards=_unused_cards(),
        )


@cache
def _unused_cards() -> tuple[UnusedCard, ...]:
    """Return the cards that this build leaves alone; neither changes while the daemon runs."""
    cards = vendors()
    can_use = usable(cards, built())
    return tuple(
        UnusedCard(vendor, build_needs(vendor), build_command(vendor))
        for vendor in cards
        if vendor not in can_use
    )

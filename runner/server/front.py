"""What the server needs of the rest of the program for its own keeping: keys, settings, secrets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Protocol

from runner.domain.devices import SharedDevice
from runner.domain.key import Key, NewKey
from runner.domain.machine import MachineReport
from runner.domain.setting import SettingState


class Keys(Protocol):
    """The API keys."""

    def list_keys(self) -> Sequence[Key]:
        """Return all, the oldest first."""
        ...

    async def add(self, asked: NewKey) -> tuple[Key, str]:
        """Make one; returns it and its secret."""
        ...

    async def revoke(self, key_id: str) -> Key:
        """Remove one; raises ``KeyNotFound``."""
        ...

    def find(self, secret: str) -> Key:
        """Return the key with this secret; raises ``Unauthorized``."""
        ...

    def admit(self, key: Key) -> None:
        """Count a request; raises ``TooManyRequests``."""
        ...


class SettingsKeeper(Protocol):
    """The settings, as they are and as they shall be."""

    def list_settings(self) -> Sequence[SettingState]:
        """Return all of them."""
        ...

    async def change(self, values: Mapping[str, Any]) -> Sequence[SettingState]:
        """Set some, or none if one is wrong; ``None`` takes a value away."""
        ...


class Secrets(Protocol):
    """Tokens of model hubs, which nobody reads but the hubs' clients."""

    def list_names(self) -> Mapping[str, bool]:
        """Return which there can be, and whether each is set."""
        ...

    async def put(self, name: str, value: str | None) -> None:
        """Set one; ``None`` takes it away."""
        ...


class Devices(Protocol):
    """Devices of other machines."""

    def list_devices(self) -> Sequence[SharedDevice]:
        """Return those that have a key."""
        ...

    async def add(self, text: str, key: str) -> SharedDevice:
        """Keep the key of one; raises ``DeviceError`` when it refuses that."""
        ...

    async def remove(self, text: str) -> SharedDevice:
        """Forget one."""
        ...


class Machine(Protocol):
    """The machine and what we take of it."""

    async def look(self) -> None:
        """Have the next report tell what devices there are."""
        ...

    def report(self) -> MachineReport:
        """Return how it is now."""
        ...


class LogLines(Protocol):
    """What the daemon logged."""

    def last(self, n_lines: int) -> Sequence[str]:
        """Return the last lines."""
        ...

    def follow(self, n_lines: int) -> AsyncGenerator[str, None]:
        """Yield the last lines and then each new one; ends when the reader is too slow."""
        ...

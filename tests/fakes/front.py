"""What stands at the daemon's door, without a daemon: keys, settings, secrets and logs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.domain.devices import SharedDevice, device_address
from runner.domain.key import Key, NewKey, Scope
from runner.domain.machine import Device, MachineReport, UnusedCard
from runner.domain.setting import SettingState
from runner.errors import (
    DeviceError,
    InvalidRequest,
    KeyNotFound,
    TooManyRequests,
    Unauthorized,
)

ADMIN_KEY, MANAGE_KEY, INFER_KEY = "corral-admin", "corral-manage", "corral-infer"


def a_key(name: str, **changed) -> Key:
    """A key that is called by its scope, unless it is told otherwise."""
    scopes = changed.pop("scopes", None) or frozenset({Scope(name)})
    return Key(f"{name}-id", name, scopes, **({"created_at": 1_700_000_000.0} | changed))


@dataclass
class FakeKeys:
    """One key for each scope; limits are not counted but obeyed: ``wait_s`` refuses all."""

    by_secret: dict[str, Key] = field(
        default_factory=lambda: {
            ADMIN_KEY: a_key("admin"),
            MANAGE_KEY: a_key("manage"),
            INFER_KEY: a_key("infer"),
        }
    )
    wait_s: float = 0.0
    added: list[NewKey] = field(default_factory=list)
    admitted: list[str] = field(default_factory=list)

    def list_keys(self) -> Sequence[Key]:
        return list(self.by_secret.values())

    async def add(self, asked: NewKey) -> tuple[Key, str]:
        self.added.append(asked)
        key = Key("new-id", asked.name, asked.scopes, asked.models, asked.n_per_minute)
        return key, "corral-new"

    async def revoke(self, key_id: str) -> Key:
        for secret, key in self.by_secret.items():
            if key.id == key_id:
                return self.by_secret.pop(secret)
        raise KeyNotFound(f"there is no key with the id '{key_id}'")

    def find(self, secret: str) -> Key:
        if secret not in self.by_secret:
            raise Unauthorized("this API key is not known here")
        return self.by_secret[secret]

    def admit(self, key: Key) -> None:
        self.admitted.append(key.id)
        if self.wait_s:
            raise TooManyRequests(6, self.wait_s)


@dataclass
class FakeSettings:
    """One setting."""

    state: SettingState = field(
        default_factory=lambda: SettingState(
            "keep_alive", "5m", "5m", "default", "CORRAL_KEEP_ALIVE", "How long.", True, False
        )
    )
    changes: list[dict] = field(default_factory=list)

    def list_settings(self) -> Sequence[SettingState]:
        return [self.state]

    async def change(self, values: Mapping[str, Any]) -> Sequence[SettingState]:
        self.changes.append(dict(values))
        return [self.state]


@dataclass
class FakeSecrets:
    """Secrets in memory."""

    values: dict[str, str] = field(default_factory=dict)

    def list_names(self) -> Mapping[str, bool]:
        return {"hf": "hf" in self.values}

    async def put(self, name: str, value: str | None) -> None:
        if value is None:
            self.values.pop(name, None)
        else:
            self.values[name] = value


@dataclass
class FakeDevices:
    """Devices that accept any key but ``wrong``."""

    keys: dict[str, str] = field(default_factory=dict)

    def list_devices(self) -> list[SharedDevice]:
        return [SharedDevice(address) for address in self.keys]

    async def add(self, text: str, key: str) -> SharedDevice:
        if key == "wrong":
            raise DeviceError(f"the device {text} refuses the key")
        self.keys[device_address(text)] = key
        return SharedDevice(device_address(text))

    async def remove(self, text: str) -> SharedDevice:
        address = device_address(text)
        if self.keys.pop(address, None) is None:
            raise InvalidRequest(f"there is no key for the device {address}", param="devices")
        return SharedDevice(address)


class FakeMachine:
    """A machine that does not change."""

    async def look(self) -> None:
        """There is nothing to look for."""

    def report(self) -> MachineReport:
        cpu = Device("cpu", "cpu", "a processor", 8_000, 4_000)
        card = UnusedCard("AMD", "the Vulkan SDK", "pip install it")
        return MachineReport(2, 8_000, 4_000, 60, (cpu,), (("max_queue", 512),), 3, 1, (card,))


@dataclass
class FakeLogs:
    """A log of three lines, and what a test adds while it is followed."""

    lines: list[str] = field(default_factory=lambda: ["one", "two", "three"])
    more: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)

    def last(self, n_lines: int) -> Sequence[str]:
        return self.lines[-n_lines:] if n_lines else []

    async def follow(self, n_lines: int) -> AsyncGenerator[str, None]:
        for line in self.last(n_lines):
            yield line
        while (line := await self.more.get()) is not None:
            yield line

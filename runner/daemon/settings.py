"""The settings while the daemon runs: shown, changed, written to ``config.toml``.

Only the daemon writes the file.  What can take effect at once does; the rest waits for the next
start, and says so.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from runner.config import (
    CONFIG_FORMAT,
    SETTING_SPECS,
    Settings,
    find_setting,
    read_config,
    settings_of,
)
from runner.domain.setting import SettingState
from runner.errors import InvalidRequest, RequestError
from runner.store.disk import explained, replace_file

logger = logging.getLogger(__name__)

#: Makes a new value count, given all settings.
Apply = Callable[[Settings], Awaitable[None] | None]
#: Raises where a value, as text, cannot be had now.
Guard = Callable[[str], Awaitable[None]]


class LiveSettings:
    """Owns ``config.toml``; ``on_change`` is called after each change."""

    def __init__(
        self, path: Path, running: Settings, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Take what is needed.

        Args:
            path: The file, which need not exist.
            running: What the daemon was started with.
            environ: The variables that win over the file.
        """
        self._path = path
        self._environ = environ
        self._running = {one.name: getattr(running, one.name) for one in fields(Settings)}
        self._apply: dict[str, Apply] = {}
        self._guards: dict[str, Guard] = {}
        self.on_change: Callable[[], None] = lambda: None
        self._writing = asyncio.Lock()

    def when_changed(self, names: tuple[str, ...], apply: Apply) -> None:
        """Have ``apply`` called when one of the settings, by their fields' names, has changed."""
        self._apply |= dict.fromkeys(names, apply)

    def guard(self, name: str, check: Guard) -> None:
        """Have ``check`` asked before a setting, by its key, is changed; empty: to its default."""
        self._guards[name] = check

    def in_force(self, name: str) -> Any:
        """Return the value that the daemon runs with, by its field's name."""
        return self._running[name]

    def list_settings(self) -> list[SettingState]:
        """Return all settings."""
        return self._states(read_config(self._path))

    async def change(self, values: Mapping[str, Any]) -> list[SettingState]:
        """Set some, or none if one is wrong; ``None`` takes a value out of the file.

        Raises:
            InvalidRequest: There is no such setting, the value is not one for it, or the
                environment has it, which wins.
            CorralError: Whoever guards it says that it cannot be had now.
        """
        async with self._writing:
            stored = await asyncio.to_thread(read_config, self._path)
            before = dict(stored)
            for name, value in values.items():
                self._check(name, value)
                await self._ask_guard(name, value)
                stored.pop(name, None)
                if value is not None:
                    stored[name] = value
            if stored != before:
                await asyncio.to_thread(self._write, stored)
            logger.info("settings changed names=%s", ",".join(sorted(values)))
            await self._put_in_force(settings_of(stored, self._environ))
        self.on_change()
        return self._states(stored)

    def _check(self, name: str, value: Any) -> None:
        field_name = next((n for n, spec in SETTING_SPECS.items() if spec.key == name), None)
        if field_name is None:
            known = ", ".join(spec.key for spec in SETTING_SPECS.values())
            raise InvalidRequest(
                f"there is no setting '{name[:40]}'", hint=f"one of: {known}", param=name[:40]
            )
        spec = SETTING_SPECS[field_name]
        found = find_setting(field_name, {}, self._environ)
        if found is not None:
            raise InvalidRequest(
                f"'{name}' is set by {found.where} in the daemon's environment, which wins",
                hint="unset it and start the daemon again",
                param=name,
            )
        if value is None:
            return
        if not _is_writable(value):
            raise InvalidRequest(
                f"'{name}' must be a string, a number, a boolean or a list of strings", param=name
            )
        try:
            spec.parse(_text_of(value))
        except ValueError as error:
            raise InvalidRequest(f"'{name}': {error}", hint=spec.help, param=name) from None

    async def _ask_guard(self, name: str, value: Any) -> None:
        if (guard := self._guards.get(name)) is None:
            return
        try:
            await guard("" if value is None else _text_of(value))
        except RequestError as error:
            error.param = name
            raise

    async def _put_in_force(self, settings: Settings) -> None:
        for name, apply in self._apply.items():
            value = getattr(settings, name)
            if value != self._running[name]:
                if (applied := apply(settings)) is not None:
                    await applied
                self._running[name] = value

    def _states(self, stored: Mapping[str, Any]) -> list[SettingState]:
        next_time = settings_of(stored, self._environ)
        states = []
        for name, spec in SETTING_SPECS.items():
            in_file = find_setting(name, stored, {})
            in_environment = find_setting(name, {}, self._environ)
            found = in_environment or in_file
            states.append(
                SettingState(
                    name=spec.key,
                    value=found.text if found else spec.shown_default,
                    default=spec.shown_default,
                    source="environment" if in_environment else "file" if in_file else "default",
                    variable=in_environment.where if in_environment else spec.env,
                    help=spec.help,
                    is_live=name in self._apply,
                    is_pending=getattr(next_time, name) != self._running[name],
                )
            )
        return states

    def _write(self, stored: Mapping[str, Any]) -> None:
        lines = [f"format = {CONFIG_FORMAT}", ""]
        for name, value in stored.items():
            if name == "format":
                continue
            if not _is_writable(value) or not name.replace("_", "").isalnum():
                raise InvalidRequest(
                    f"config.toml has '{name[:40]}', which this version cannot write",
                    hint="take it out of the file",
                )
            lines.append(f"{name} = {_toml(value)}")
        content = "\n".join([*lines, ""]).encode()
        with explained("cannot write the settings"):
            replace_file(self._path, content, scratch=self._path.parent, prefix=".config-")


def _is_writable(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(one, str) for one in value)
    return isinstance(value, str | bool | int | float)


def _text_of(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _toml(value: Any) -> str:
    """A value as TOML writes it; its basic strings are JSON's, but for U+007F."""
    if isinstance(value, list):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, str):
        sound = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return json.dumps(sound, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)

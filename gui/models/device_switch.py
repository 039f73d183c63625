"""Which devices models may use, read out of the setting ``devices`` and written back.  Pure.

The setting names the devices to use, or those to leave out with a ``-`` before; empty means all.
"""

from __future__ import annotations

from collections.abc import Iterable

from runner.domain.devices import is_address
from runner.domain.machine import Device

#: The setting.
NAME = "devices"


def switchable(devices: Iterable[Device]) -> list[Device]:
    """Return the devices that can be left out: the processor always computes."""
    return [one for one in devices if one.kind.lower() != "cpu" and not is_address(one.id)]


def is_on(value: str, device_id: str) -> bool:
    """Return whether a device is used when the setting is ``value``."""
    words = _words(value)
    named = [word for word in words if _names(word)]
    own = device_id.lower()
    if f"-{own}" in (word.lower() for word in words):
        return False
    return not named or own in (word.lower() for word in named)


def switched(value: str, device_id: str, is_on: bool, known: Iterable[str]) -> str:
    """Return the setting with one device switched.

    Args:
        value: The setting as it is.
        device_id: Which device.
        is_on: Whether it is to be used.
        known: All that can be switched: a list of names that has none left would mean all of them.
    """
    own = device_id.lower()
    words = [word for word in _words(value) if word.lower() not in (own, f"-{own}")]
    names = any(_names(word) for word in _words(value))
    if is_on and names:
        words.append(device_id)
    elif not is_on and not any(_names(word) for word in words):
        words.append(f"-{device_id}")
        if names:  # it was the only one named: the others stay unused
            there = {word.lower() for word in words}
            words += [f"-{one}" for one in known if f"-{one.lower()}" not in there]
    return ",".join(words)


def without(value: str, told: str) -> str:
    """Return the setting without the devices that an error names; ``told``: its words."""
    found = {word.strip(".,;:'\"()").lower() for word in told.split()}
    return ",".join(word for word in _words(value) if word.lower() not in found)


def _words(value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


def _names(word: str) -> bool:
    """Whether a word names a device of this machine that is to be used."""
    return not word.startswith("-") and not is_address(word)

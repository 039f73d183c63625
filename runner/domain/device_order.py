"""Which devices a model's layers go to, and in which order: what the words of a setting mean."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar

from runner.errors import InvalidRequest


class Ordered(Protocol):
    """A device as this file sees it.

    Attributes:
        name: As llama.cpp names it, or the address of a machine that shares it; its second device
            has ``#1`` behind that, and so on.
        kind: ``gpu``, ``igpu`` (shares main memory), or another that takes no layers.
        is_remote: Whether it is another machine's.
        hardware_id: The same for one card that two drivers show; empty: not known.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def is_remote(self) -> bool: ...
    @property
    def hardware_id(self) -> str: ...


D = TypeVar("D", bound=Ordered)


def chosen(devices: Sequence[D], words: Sequence[str]) -> list[D]:
    """Return the accelerators to use, the first to be filled first.

    Args:
        devices: All devices, in llama.cpp's order.
        words: Names and addresses, which are used in this order and no others; or names with a
            ``-`` before them, which are left out; empty: all, this machine's first, of graphics
            cards that share main memory only where there are no others.  An address means all
            devices of that machine.

    Raises:
        InvalidRequest: A name is none of ``devices``.
    """
    usable = [device for device in devices if device.kind in ("gpu", "igpu")]
    wanted = [word for word in words if not word.startswith("-")]
    left_out = [word[1:] for word in words if word.startswith("-")]
    known = {"cpu"}.union(*map(words_of, devices))
    for word in [*wanted, *left_out]:
        if word.lower() not in known:
            raise InvalidRequest(
                f"devices: there is no device '{word}'",
                hint=f"there are: {', '.join(device.name for device in devices)}",
                param="devices",
            )
    if wanted:
        usable = [d for word in wanted for d in usable if word.lower() in words_of(d)]
        usable = [d for number, d in enumerate(usable) if d not in usable[:number]]
    else:
        own = _once([device for device in usable if not device.is_remote])
        cards = [device for device in own if device.kind == "gpu"] or own
        usable = cards + [device for device in usable if device.is_remote]
    gone = {name.lower() for name in left_out}
    return [device for device in usable if gone.isdisjoint(words_of(device))]


def chosen_without(devices: Sequence[D], words: Sequence[str], gone: Collection[str]) -> list[D]:
    """Return the accelerators to use where some that are named cannot be had now.

    Args:
        devices: Those that can be had.
        words: As in ``chosen``.
        gone: Words that name what cannot be had.  Where nothing else was named, nothing is used:
            that was no wish for all others.

    Raises:
        InvalidRequest: A name is none of ``devices``, and not in ``gone``.
    """
    left = [word for word in words if word not in gone]
    if len(left) < len(words) and all(word.startswith("-") for word in left):
        left = ["cpu"]
    return chosen(devices, left)


def words_of(device: Ordered) -> set[str]:
    """Return the words that mean a device, in small letters."""
    name = device.name.lower()
    return {name, name.partition("#")[0]} if device.is_remote else {name}


def _once(devices: Sequence[D]) -> list[D]:
    """A card that two drivers show is one card: the first one has it."""
    seen: set[str] = set()
    found = []
    for device in devices:
        if device.hardware_id not in seen:
            found.append(device)
        seen |= {device.hardware_id} - {""}
    return found

"""How many of a model's layers go to each device.  Pure.

Sizes of layers are averages here: what does not fit after all, llama.cpp refuses, and then it is
tried with fewer (``fewer``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A device as placement sees it; memory in bytes.

    Attributes:
        name: As llama.cpp names it, or the address of a machine that shares it.
        kind: As ``llama.devices.Device`` has it.
        n_free: What is free of its memory.
        is_remote: Whether it is another machine's.
        handle: What llama.cpp knows it by.
        buffer: What llama.cpp calls its memory.
        hardware_id: As ``llama.devices.Device`` has it.
    """

    name: str
    kind: str
    n_free: int
    is_remote: bool = False
    handle: int = 0
    buffer: str = ""
    hardware_id: str = ""


@dataclass(frozen=True, slots=True)
class Need:
    """What a model wants of a device, in bytes.

    Attributes:
        n_layers: Its layers, the output counted as one.
        layer: Of one layer: weights and its part of the cache.
        fixed: Of every device that has layers, for computing.
    """

    n_layers: int
    layer: int
    fixed: int


def spread(places: Sequence[Place], need: Need, n_asked: int) -> list[int]:
    """Return how many layers go to each of ``places``; what is left stays with the processor.

    Args:
        places: The devices, the first to be filled first.
        need: What the model wants.
        n_asked: Layers to put there, whether they seem to fit or not; negative: as many as fit.
            Such as seem too many go to the last device.
    """
    n_left = need.n_layers if n_asked < 0 else min(n_asked, need.n_layers)
    counts = []
    for place in places:
        room = max(0, place.n_free - need.fixed) // max(1, need.layer)
        counts.append(min(n_left, room))
        n_left -= counts[-1]
    if n_asked > 0 and counts:
        counts[-1] += n_left
    return counts


def fewer(n: int) -> Iterator[int]:
    """Yield ever fewer layers to try after ``n`` did not fit, down to none."""
    yield from dict.fromkeys(less for part in (3, 2, 1, 0) if (less := n * part // 4) < n)


def in_order(places: Sequence[Place], counts: Sequence[int]) -> list[tuple[Place, int]]:
    """Return devices with their layers as the layers follow each other; those without are left out.

    Other machines come first: the last device hands numbers for every word of the vocabulary on,
    the others one row of the model's width.
    """
    used = [(place, n) for place, n in zip(places, counts, strict=True) if n]
    return [each for each in used if each[0].is_remote] + [
        each for each in used if not each[0].is_remote
    ]

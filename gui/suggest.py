"""Which models to offer somebody who has none: by what fits this machine.

Pure, but for ``look``, which blocks shortly and is called on the link's threads.
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

GB = 10**9


@dataclass(frozen=True, slots=True)
class Room:
    """What this machine has; memory and disk in bytes."""

    processor: str
    n_cores: int
    n_memory: int
    n_disk: int  # free, where models are kept


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A model to offer.

    Attributes:
        name: What to pull.
        n_bytes: Size of its download.
        is_starter: Whether it comes along with the program and needs no network.
        words: What it is good for; English, shown through ``tr``.
    """

    name: str
    n_bytes: int
    is_starter: bool
    words: str


STARTER = Suggestion("smollm2", 97_600_000, True, "Tiny. Answers at once, knows little.")
#: From small to large; sizes are those of the catalogue's files.
_LARGER = (
    Suggestion("qwen3:0.6b", 397_000_000, False, "Small and quick, thinks before it answers."),
    Suggestion("qwen3:1.7b", 1_110_000_000, False, "Quick, good for everyday questions."),
    Suggestion("qwen3:4b", 2_500_000_000, False, "Good answers on most computers."),
    Suggestion("qwen3:8b", 5_030_000_000, False, "Better answers, takes more time."),
    Suggestion("qwen3:14b", 9_000_000_000, False, "For computers with much memory."),
)
#: Share of the memory that a model may fill: its cache and everything else need the rest.
_SHARE = 0.5


def suggest(room: Room) -> list[Suggestion]:
    """Return one to three models, the starter first, then two of the largest that fit."""
    fitting = [
        model
        for model in _LARGER
        if model.n_bytes <= room.n_memory * _SHARE and model.n_bytes < room.n_disk - GB
    ]
    return [STARTER, *fitting[-2:]]


def look(models: Path) -> Room:
    """Measure this machine; ``models``: the folder that models are kept in."""
    place = models
    while not place.exists() and place != place.parent:
        place = place.parent
    return Room(
        processor=_processor(),
        n_cores=psutil.cpu_count(logical=False) or os.cpu_count() or 1,
        n_memory=psutil.virtual_memory().total,
        n_disk=shutil.disk_usage(place).free,
    )


def _processor() -> str:
    """Its name; Linux tells it only in a file."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

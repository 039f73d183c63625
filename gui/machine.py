"""This machine's processor and memory, measured; and how its memory was used over time.

What measures blocks shortly and is called on the link's threads; ``History`` is pure.
"""

from __future__ import annotations

import platform
import socket
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine is, and how it is used now; memory in bytes.

    Attributes:
        system: Operating system and its version.
        processor: Its name.
        n_cores: Physical cores.
        n_threads: Hardware threads.
        n_memory: Main memory.
        n_available: Of it, what programs can still get.
    """

    system: str
    processor: str
    n_cores: int
    n_threads: int
    n_memory: int
    n_available: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory at one moment, in bytes; ``at_s`` on any clock that runs evenly."""

    at_s: float
    n_used: int
    n_models: int


class History:
    """The samples of the last minutes, oldest first."""

    def __init__(self, span_s: float = 600.0) -> None:
        """``span_s``: how far back it goes, in seconds."""
        self.span_s = span_s
        self._samples: deque[Sample] = deque()

    @property
    def shown_s(self) -> float:
        """How far back a plot goes: far enough for the oldest sample, in few steps."""
        age = self._samples[-1].at_s - self._samples[0].at_s if self._samples else 0.0
        return next((step for step in (120.0, 300.0) if age <= step), self.span_s)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, sample: Sample) -> None:
        """Take the newest sample; those too old go."""
        self._samples.append(sample)
        while self._samples and self._samples[0].at_s < sample.at_s - self.span_s:
            self._samples.popleft()


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """Seconds since the machine started, over all processors: ``busy`` ones, and all."""

    busy: float
    whole: float

    def share_since(self, before: ProcessorTime) -> float:
        """Return which share was in use since an earlier moment, 0 to 1; none: no time passed."""
        passed = self.whole - before.whole
        return min(1.0, max(0.0, (self.busy - before.busy) / passed)) if passed > 0 else 0.0


def processor_time() -> ProcessorTime:
    """Return how much the processors have computed until now.

    ``psutil.cpu_percent`` remembers for each thread when it was asked last, and each call of the
    link is on a thread of its own.
    """
    times = psutil.cpu_times()
    # proc(5): a guest's time is in that of its host's programs already.
    whole = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return ProcessorTime(whole - times.idle - getattr(times, "iowait", 0.0), whole)


def measure() -> Machine:
    """Return how this machine is now."""
    memory = psutil.virtual_memory()
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        n_cores=psutil.cpu_count(logical=False) or 1,
        n_threads=psutil.cpu_count() or 1,
        n_memory=int(memory.total),
        n_available=int(memory.available),
    )


def own_addresses() -> list[str]:
    """Return the addresses of this machine on its networks, IPv4 and IPv6."""
    kinds = (socket.AF_INET, socket.AF_INET6)
    return [
        one.address
        for cards in psutil.net_if_addrs().values()
        for one in cards
        if one.family in kinds
    ]


def _processor() -> str:
    """The processor's name; Linux tells it in a file only."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

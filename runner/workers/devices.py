"""What this machine has for computing: cores and memory, measured."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")


def n_cores() -> int:
    """Return the physical cores that this process may use; at least 1.

    llama.cpp's threads share a core's arithmetic units badly, so its second hardware thread is
    not counted.
    """
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux tells
        allowed = physical
    return max(1, min(physical, allowed))


def memory_bytes() -> int:
    """Return the main memory that this process may use: the machine's, or its container's."""
    limit, _ = _container(_CGROUPS)
    return min(int(psutil.virtual_memory().total), limit)


def available_bytes() -> int:
    """Return the main memory that could be used now without pushing anything out."""
    limit, used = _container(_CGROUPS)
    return max(0, min(int(psutil.virtual_memory().available), limit - used))


def _container(root: Path) -> tuple[int, int]:
    """Limit of the container that this process is in, and what is used of it; no limit: a lot.

    Files that are only cached do not count as used.  Source: Linux's ``cgroup-v2.rst``.
    """
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="ascii").partition("::")[2].strip()
        folder = root / own.lstrip("/")
        if not (folder / "memory.max").exists():  # a container sees its own group as the root
            folder = root
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        stat = dict(
            line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines()
        )
        return limit, max(0, used - int(stat.get("inactive_file", 0)))
    except (OSError, ValueError):  # another system, another version, or "max"
        return sys.maxsize, 0

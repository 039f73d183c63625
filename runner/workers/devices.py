"""What this machine has for computing: cores and memory, measured."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

_CGROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
#: Files of a control group, and what counts its cached files, in both versions.
_SECOND = "memory.max", "memory.current", "inactive_file"
_FIRST = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"


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
    """Return the main memory that this process may use: the machine's, or its containers'."""
    return min([int(psutil.virtual_memory().total), *(limit for limit, _ in containers())])


def available_bytes() -> int:
    """Return the main memory that could be used now without pushing anything out."""
    left = [limit - used for limit, used in containers()]
    return max(0, min([int(psutil.virtual_memory().available), *left]))


def containers(root: Path = _CGROUPS, own: Path = _OWN) -> list[tuple[int, int]]:
    """Return limit and use, in bytes, of each container that this process is in and that has one.

    One lies in the other, and each has a say.  Files that are only cached do not count as used.
    Source: Linux's ``cgroup-v2.rst``, and ``cgroup-v1/memory.rst`` for the older kind.
    """
    try:
        lines = [line.split(":", 2) for line in own.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError):  # another system
        return []
    found = []
    for _, kinds, path in (line for line in lines if len(line) == 3):
        if kinds and "memory" not in kinds.split(","):
            continue
        top, names = (root / "memory", _FIRST) if kinds else (root, _SECOND)
        folder = top / path.strip().lstrip("/")
        for each in (folder, *folder.parents):
            if each.is_relative_to(top) and (one := _container(each, names)):
                found.append(one)
    return found


def _container(folder: Path, names: tuple[str, str, str]) -> tuple[int, int] | None:
    """Limit and use of one container; ``None``: there is no such folder, or it has no limit."""
    limit_file, used_file, cached = names
    try:
        limit = int((folder / limit_file).read_text(encoding="ascii"))
        used = int((folder / used_file).read_text(encoding="ascii"))
        stat = dict(
            line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines()
        )
        return limit, max(0, used - int(stat.get(cached, 0)))
    except (OSError, ValueError):  # or "max"
        return None

"""What this machine has for computing: cores and memory, measured."""

from __future__ import annotations

import os

import psutil


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
    """Return the machine's main memory."""
    return int(psutil.virtual_memory().total)

"""Where and with what figures were taken, and how they are kept: ``bench/results/*.json``.

No name of a machine and no path of one gets into a result.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"
FORMAT = 1


def machine() -> dict[str, Any]:
    """Return what matters of this machine."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": cpu_name(),
        "n_cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
    }


def cpu_name() -> str:
    """Return the processor's own name, where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def command() -> str:
    """Return the command that was given, with file names in place of paths."""
    words = [f"bench/{Path(sys.argv[0]).name}", *sys.argv[1:]]
    return " ".join(Path(word).name if Path(word).is_absolute() else word for word in words)


def save(name: str, figures: dict[str, Any]) -> Path:
    """Write ``figures`` to ``bench/results/<name>.json`` with machine and command."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    whole = {"format": FORMAT, "command": command(), "machine": machine(), **figures}
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path

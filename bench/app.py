"""What the desktop app costs: its start, its memory, its idle time, a long answer, long lists.

    python bench/app.py --name app

Each scene runs in a process of its own over a scripted daemon that answers at once, so the figures
are the app's alone.  ``QT_QPA_PLATFORM`` chooses what Qt draws on; unset, it is no screen at all.
The bounds beside the figures are those that the app is built to keep.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import report

ROOT = Path(__file__).parents[1]
SCENES = ("start", "memory", "idle", "answer", "scroll")
#: Figure of a scene, and the most it may be.
BOUNDS: dict[str, tuple[Callable[[dict[str, Any]], float], float, str]] = {
    "start": (lambda told: told["visible_s"], 1.0, "s to the window's first picture"),
    "memory": (lambda told: told["resident_mib"] * 2**20 / 1e6, 180.0, "MB resident"),
    "idle": (lambda told: told["cpu_s"], 0.1, "s of CPU in 20 s"),
    "answer": (lambda told: told["longest_ms"], 50.0, "ms in the longest turn of the loop"),
    "scroll": (
        lambda told: max(told["chats"]["longest_ms"], told["models"]["longest_ms"]),
        50.0,
        "ms for the longest step",
    ),
}


def play(scene: str, compiled: str) -> dict[str, Any]:
    """Return what one scene measured, in a fresh home; ``compiled``: a folder for bytecode."""
    with tempfile.TemporaryDirectory() as home:
        # Filled by another process: what fills it would count as the app's memory.
        fill = f"from bench.app_scenes import fill, Path; fill(Path({home!r}), {scene!r})"
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": compiled}
        # An installed app has its bytecode; one that compiles itself at each start is slower.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        subprocess.run([sys.executable, "-c", fill], check=True, cwd=ROOT, env=environ)
        done = subprocess.run(
            [sys.executable, "-m", "bench.app_scenes", scene, home],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def run(scenes: list[str], n_starts: int, compiled: str) -> dict[str, Any]:
    """Measure and print; returns what the result file keeps."""
    found: dict[str, Any] = {}
    for scene in scenes:
        told = play(scene, compiled)
        if scene == "start":  # the first one warmed the files
            times = [play(scene, compiled) for _ in range(n_starts)]
            told = {key: statistics.median(one[key] for one in times) for key in told}
            told["runs"] = times
        found[scene] = told
        measure, most, unit = BOUNDS[scene]
        value = measure(told)
        verdict = "" if value <= most else f"   more than {most:g}"
        print(f"{scene:8} {value:8.2f} {unit}{verdict}{_computed(told)}")
    return found


def _computed(told: dict[str, Any]) -> str:
    """The app's own share of a time, where a scene has it: other programs take the rest."""
    parts = (told, told.get("chats", {}), told.get("models", {}))
    if spent := [part["longest_cpu_ms"] for part in parts if "longest_cpu_ms" in part]:
        return f"   ({max(spent):.2f} ms of it computing)"
    return f"   ({told['cpu_s']:.2f} s of it computing)" if "visible_s" in told else ""


def main() -> int:
    """Play the scenes and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("scene", nargs="*", choices=[[], *SCENES], help="these alone")
    parser.add_argument("--starts", type=int, default=5, help="how often the app is started")
    parser.add_argument("--name", help="keep the result in bench/results/NAME.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as compiled:
        scenes = run(asked.scene or list(SCENES), asked.starts, compiled)
    if asked.name:
        report.save(
            asked.name,
            {
                "versions": report.versions("corral", "PySide6-Essentials"),
                "platform": os.environ.get("QT_QPA_PLATFORM", "offscreen"),
                "scenes": scenes,
            },
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The hidden role ``_devices``: says as JSON what the engine can compute on, and ends.

A process of its own, since drivers are loaded for it, and may crash.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> int:
    """Print ``{"build": ..., "devices": [...]}``; 1 when the engine cannot be loaded."""
    # Drivers print what they like: the real stdout is for the answer alone.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        from runner.engine.llama.devices import build, list_devices

        told = {"build": build(), "devices": [device.told() for device in list_devices()]}
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        sys.stderr.write(f"the engine cannot be loaded: {error}\n")
        return 1
    with answer:
        json.dump(told, answer)
    return 0

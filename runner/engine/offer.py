"""The hidden role ``_offer``: computes for another machine, and ends when stdin does.

What it can compute on goes to stdout as one line of JSON; then it listens on loopback, and asks
whoever connects for nothing: ``relay/provider.py`` lets only those in who have the key.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from runner.errors import CorralError

if TYPE_CHECKING:
    from runner.engine.llama.devices import Device


def main(argv: Sequence[str]) -> int:
    """Offer devices; ``argv[2]`` is a count of threads, ``argv[3:]`` are names, none: the best."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the server prints
    threading.Thread(target=_end_with_stdin, name="stdin", daemon=True).start()
    try:
        from runner.engine.llama.devices import list_devices
        from runner.engine.llama.identity import build
        from runner.engine.llama.rpc import start_server

        offered = worth_offering(list_devices(), argv[3:])
    except (CorralError, ImportError, OSError, RuntimeError, AttributeError) as error:
        with answer:
            json.dump({"error": f"the engine cannot be loaded: {error}"}, answer)
        return 1
    if not offered:
        with answer:
            json.dump({"error": f"there is no device {' or '.join(argv[3:])}"}, answer)
        return 1
    port = _free_port()
    told = {"port": port, "build": build(), "devices": [each.told() for each in offered]}
    answer.write(json.dumps(told) + "\n")
    answer.close()
    start_server(f"127.0.0.1:{port}", [each.handle for each in offered], max(1, int(argv[2])))
    return 1


def worth_offering(devices: Sequence[Device], names: Sequence[str]) -> list[Device]:
    """Return those named, in that order; else all graphics cards, else the processor.  Pure."""
    if names:
        by_name = {device.name.lower(): device for device in devices}
        return [by_name[name.lower()] for name in names if name.lower() in by_name]
    for kinds in (("gpu",), ("igpu",), ("cpu",)):
        if found := [device for device in devices if device.kind in kinds]:
            return found
    return []


def _end_with_stdin() -> None:
    os.read(0, 1)
    os._exit(0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

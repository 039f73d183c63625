"""Stands in for a device's process: tells what it is told to, then echoes whatever one caller says.

Its arguments: ``echo``, ``error REASON``, ``silent``, ``nonsense`` or ``deaf``.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading


def end_with_stdin() -> None:
    os.read(0, 1)
    os._exit(0)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    threading.Thread(target=end_with_stdin, daemon=True).start()
    what = sys.argv[1]
    if what == "silent":
        sys.stderr.write("first words\nthe driver is missing\n")
        sys.exit(3)
    if what == "nonsense":
        say("Loading drivers ...")
        threading.Event().wait()
    if what == "error":
        say(json.dumps({"error": sys.argv[2]}))
        threading.Event().wait()
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    if what == "deaf":
        server.close()
    say(json.dumps({"port": port, "build": "b", "devices": []}))
    if what == "deaf":
        sys.exit(0)
    peer, _ = server.accept()
    while part := peer.recv(1 << 16):
        if part == b"die":
            os._exit(1)
        peer.sendall(part)


if __name__ == "__main__":
    main()

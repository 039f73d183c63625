"""The process that computes for another machine: llama.cpp's RPC server, which asks for no key.

It listens on loopback only, for one caller, and ends with whoever started it.  Its first line on
stdout is JSON: ``{"port": ..., "build": ..., "devices": [...]}``, or ``{"error": ...}``.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import IO, Any

from runner.errors import DeviceError

#: Seconds for drivers to load, and then for the server to listen.
_START_S, _LISTEN_S = 60.0, 10.0
_AGAIN_S = 0.02


class Offered:
    """One such process; ``told`` is what it said of itself."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it, and wait until it has said what it is.

        Raises:
            DeviceError: It did not start, or has nothing to compute on.
        """
        # Nothing there asks to be read, so a pipe would fill up one day.
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
            )
        except OSError as error:
            self._log.close()
            raise DeviceError(f"the device's process cannot be started: {error}") from None
        try:
            self.told = self._first_line()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def connect(self) -> socket.socket:
        """Return a connection to it.

        Raises:
            DeviceError: It does not listen.
        """
        deadline = time.monotonic() + _LISTEN_S
        while True:
            try:
                return socket.create_connection(("127.0.0.1", int(self.told["port"])), timeout=1.0)
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise DeviceError(f"the device's process does not listen: {error}") from None
                time.sleep(_AGAIN_S)

    def close(self) -> None:
        """End it; all that it holds goes with it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._log.close()

    def _first_line(self) -> dict[str, Any]:
        late = threading.Timer(_START_S, self._process.kill)
        late.daemon = True
        late.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else b""
            told = json.loads(line)
            if not isinstance(told, dict):
                raise ValueError
        except ValueError:
            raise DeviceError(f"the device's process ended: {self._last_words()}") from None
        finally:
            late.cancel()
        if "error" in told:
            raise DeviceError(str(told["error"]))
        return told

    def _last_words(self) -> str:
        self._process.kill()  # it may say nonsense, and go on
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read()[-4000:].decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else f"exit code {code}"

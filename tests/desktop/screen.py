"""A screen of its own with a window manager and a tray, and the hands that work on it.

Xvfb, openbox, trayer and xdotool are the system's (``packaging/ci_desktop`` installs them on
Debian); ``missing`` says which are not there.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("Xvfb", "openbox", "trayer", "xdotool")
#: Seconds that something may take to be seen: a model is loaded on cores that others use too.
PATIENCE_S = 120.0


def missing() -> str:
    """Return which programs are not installed, in words; empty: all are."""
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"{', '.join(lacking)} not installed" if lacking else ""


@contextlib.contextmanager
def screen() -> Iterator[str]:
    """An X server without hardware, a window manager and a tray; gives ``DISPLAY``."""
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    others: list[subprocess.Popen[bytes]] = []
    try:
        with os.fdopen(reader) as told:
            display = f":{told.readline().strip()}"
        environ = {**os.environ, "DISPLAY": display}
        for command in (["openbox"], ["trayer", "--edge", "top", "--align", "right"]):
            others.append(
                subprocess.Popen(
                    command,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        yield display
    finally:
        for process in (*reversed(others), server):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            if process.poll() is None:
                process.kill()
                process.wait()


class Desk:
    """The app on a screen, worked by mouse and keyboard."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self.environ = environ
        self._log = log.open("w")
        self.app = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "desktop" / "app.py")],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._answers = selectors.DefaultSelector()
        self._answers.register(self.app.stdout, selectors.EVENT_READ)

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.app.stdin.close()
        self.app.terminate()
        try:
            self.app.wait(20)
        finally:
            if self.app.poll() is None:
                self.app.kill()
                self.app.wait()
            self.app.stdout.close()
            self._log.close()

    def ask(self, **question: object) -> dict:
        self.app.stdin.write(json.dumps(question) + "\n")
        self.app.stdin.flush()
        assert self._answers.select(30), "the app does not take events"
        return json.loads(self.app.stdout.readline())

    def until(self, condition: Callable[[], object], what: str, most_s: float = PATIENCE_S):
        """Return what the condition gives once that is true."""
        deadline = time.monotonic() + most_s
        while not (value := condition()):
            assert self.app.poll() is None, f"the app ended with {self.app.returncode}"
            assert time.monotonic() < deadline, f"waited in vain for {what}: {self.texts()}"
            time.sleep(0.1)
        return value

    def texts(self) -> list[str]:
        return self.ask(texts=True)["texts"]

    def sees(self, text: str) -> bool:
        return any(text in one for one in self.texts())

    def see(self, text: str) -> None:
        """Wait until a text is in sight."""
        self.until(lambda: self.sees(text), f"“{text}”")

    def click(self, name: str) -> None:
        """Wait for what bears the name to stand still, and click on it."""

        def still() -> list[int] | None:
            first = self.ask(where=name)["at"]
            time.sleep(0.15)
            return first if first and self.ask(where=name)["at"] == first else None

        x, y = self.until(still, f"“{name}”")
        self.xdotool("mousemove", str(x), str(y), "click", "1")

    def type(self, text: str) -> None:
        self.xdotool("type", "--delay", "5", text)

    def press(self, *keys: str) -> None:
        self.xdotool("key", *keys)

    def xdotool(self, *words: str) -> None:
        subprocess.run(["xdotool", *words], env=self.environ, check=True, timeout=60)

"""Run a long, quiet command and say that it is still at work.

    python packaging/with_clock.py "corral: compiling llama.cpp" make -j2

After a few seconds the label and the time passed appear on stderr: one line that counts on a
terminal, a new line now and then elsewhere.  The command's own output is shown only when it
fails.  Ctrl-C, or the end of this process, ends the command with all its children.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from types import FrameType

#: Seconds before the first word, and between two lines where nothing can be overwritten.
QUIET_S = 4.0
EVERY_S = 15.0


def clock(seconds: float) -> str:
    """Return ``seconds`` as ``m:ss``."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def run(label: str, command: list[str]) -> int:
    """Run ``command`` under ``label``; returns its exit code, 130 after Ctrl-C."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, to be ended as a whole
        )
        try:
            code = wait(label, child)
        except KeyboardInterrupt:
            end_group(child)
            print(f"\n{label}: interrupted", file=sys.stderr)
            return 130
        if code:
            output.seek(0)
            sys.stderr.buffer.write(output.read())
            sys.stderr.flush()
        return code if code >= 0 else 128 - code


def wait(label: str, child: subprocess.Popen[bytes]) -> int:
    """Wait for ``child`` and report the time; returns its exit code."""
    live = sys.stderr.isatty()
    started, next_line = time.monotonic(), QUIET_S
    while True:
        try:
            code = child.wait(timeout=1.0 if live else max(0.1, next_line - passed(started)))
        except subprocess.TimeoutExpired:
            if passed(started) >= next_line:
                end = "\r" if live else "\n"
                print(f"{label} {clock(passed(started))}", end=end, file=sys.stderr, flush=True)
                next_line += 1.0 if live else EVERY_S
        else:
            if live and passed(started) >= QUIET_S:
                print(file=sys.stderr)
            return code


def passed(started: float) -> float:
    """Return the seconds since ``started``."""
    return time.monotonic() - started


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End ``child`` and all it started: politely, then for good."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, signal_number)
            child.wait(timeout=5)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def interrupted(_number: int, _frame: FrameType | None) -> None:
    """Treat a polite end like Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(f"usage: {sys.argv[0]} LABEL COMMAND [ARGUMENT...]")
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    sys.exit(run(sys.argv[1], sys.argv[2:]))

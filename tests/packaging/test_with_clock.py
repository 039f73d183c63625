"""The clock: quiet when all is well, truthful about failure, and never leaves a child behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil

WITH_CLOCK = Path(__file__).parents[2] / "packaging" / "with_clock.py"


def clocked(*code: str, quiet_s: float = 4.0) -> list[str]:
    """The command that runs Python ``code`` under a clock that first speaks after ``quiet_s``."""
    main = (
        f"import runpy, sys; m = runpy.run_path({str(WITH_CLOCK)!r}); "
        f"m['wait'].__globals__['QUIET_S'] = {quiet_s}; "
        "import signal; signal.signal(signal.SIGTERM, m['interrupted']); "
        "sys.exit(m['run'](sys.argv[1], sys.argv[2:]))"
    )
    return [sys.executable, "-c", main, "a label", sys.executable, "-c", *code]


def test_a_command_that_succeeds_says_nothing():
    done = subprocess.run(clocked("print('noise')"), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_command_that_fails_shows_its_output_and_its_code():
    code = "import sys; print('why'); sys.exit('because')"
    done = subprocess.run(clocked(code), capture_output=True, text=True)
    assert done.returncode == 1
    assert {"why", "because"} <= set(done.stderr.split())


def test_a_long_command_is_named_with_its_time():
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = clocked(waits_for(server), quiet_s=0.0)
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as clock:
            assert clock.stderr is not None
            held, _ = server.accept()
            assert clock.stderr.readline() == "a label 0:00\n"
            held.close()  # what the command waited for
            assert clock.stderr.read() == ""
    assert clock.returncode == 0


def test_ending_the_clock_ends_the_command_and_its_children():
    with socket.create_server(("127.0.0.1", 0)) as server:
        grandchild = [sys.executable, "-c", waits_for(server)]
        command = clocked(f"import subprocess; subprocess.run({grandchild!r})")
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as clock:
            held, _ = server.accept()
            family = psutil.Process(clock.pid).children(recursive=True)
            clock.send_signal(signal.SIGTERM)
            _, said = clock.communicate()
            held.close()
        _, alive = psutil.wait_procs(family, timeout=60)
    assert clock.returncode == 130
    assert said == "\na label: interrupted\n"
    assert len(family) == 2
    assert not alive


def waits_for(server: socket.socket) -> str:
    """Code that ends when its connection to ``server`` does."""
    return f"import socket; socket.create_connection({server.getsockname()!r}).recv(1)"

"""Templates that eat memory or hold every thread, each in a process that it may cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runner.engine import rendering
from tests.fakes.models import BOMB

SCRIPT = """
import sys
from runner.engine import rendering
from tests.engine.test_prepare import Prepared, chat
from tests.fakes.backend import FakeVocabulary

rendering.WATCHDOG_S = float(sys.argv[2])
rendering.RENDER_TIMEOUT_S = float(sys.argv[3])
print(Prepared(FakeVocabulary(sys.argv[1])).ask(chat("r")), flush=True)
print(len(bytearray(1200 << 20)))  # no limit is left behind
"""


def run_apart(
    template: str, *, watchdog_s: float, timeout_s: float = rendering.RENDER_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """Render in a process of its own: what is tried here could end this one."""
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, template, str(watchdog_s), str(timeout_s)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory this way")
def test_a_template_that_eats_memory_is_told_its_limit():
    done = run_apart(BOMB, watchdog_s=50, timeout_s=45)  # a busy machine may take long to fill it
    assert "template_failed" in done.stdout, done.stderr
    assert "more than 1024 MiB" in done.stdout
    assert str(1200 << 20) in done.stdout


def test_a_template_that_holds_every_thread_ends_the_process_with_its_reason():
    """One call into C that never gives the others a turn: nothing else would help."""
    template = "{% set a = [[1] * 10000] * 30000 %}{{ a | sum(start=[]) | length }}"
    done = run_apart(template, watchdog_s=2.5)
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert "template.py" in done.stderr
    assert done.stdout == ""


def test_the_watchdog_waits_until_nothing_else_has_helped():
    assert rendering.WATCHDOG_S > rendering.RENDER_TIMEOUT_S * 2

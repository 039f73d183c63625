"""What is Qt's is let go of on the GUI's thread, whoever used it last."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_links_are_forgotten_while_their_threads_end(application):
    done = subprocess.run(
        [sys.executable, "-m", "tests.gui.dropped_links"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "another thread" not in done.stderr  # Qt's words where a thread has the last word

"""``None`` outlives Qt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_long_session_does_not_use_none_up():
    script = (
        "from gui.singletons import make_lasting\n"
        "make_lasting()\n"
        "from PySide6.QtGui import QTextDocument, QTextCursor\n"
        "cursor = QTextCursor(QTextDocument())\n"
        "for _ in range(30_000): cursor.clearSelection()\n"
        "print('alive')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, "alive\n"), ended.stderr

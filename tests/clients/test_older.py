"""Clients that want the client of OpenAI below 3, in an environment of their own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.clients.older.ask import CALLS

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

FOLDER = Path(__file__).parent / "older"
ROOT = FOLDER.parents[2]
PYTHON = ROOT / ".venv" / "older" / "bin" / "python"


@pytest.mark.parametrize("name", CALLS)
def test_an_older_client_is_answered(name, daemon, tmp_path):
    if not PYTHON.exists():
        pytest.skip("not installed: make .venv/.older")
    env = {"PATH": os.defpath, "HOME": str(tmp_path)}
    done = subprocess.run(
        [PYTHON, FOLDER / "ask.py", name, daemon.url],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=290,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]

"""What every test has: a home of its own and an environment without the developer's settings."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    """No test touches the user's models or is swayed by the user's settings."""
    for name in list(os.environ):
        if name.startswith(("CORRAL_", "OLLAMA_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CORRAL_HOME", str(tmp_path / "home"))

"""What every test stands on: a home of its own, and none of the user's settings."""

import os

import pytest


@pytest.fixture(autouse=True)
def _own_home(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("CORRAL_", "OLLAMA_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CORRAL_HOME", str(tmp_path / "home"))

"""A loopback hub for each test, and clients that find nothing of the user's own."""

import pytest

from runner.hub.modelscope import ModelScope
from tests.fakes.hub import FakeHub


@pytest.fixture(autouse=True)
def _own_logins(tmp_path, monkeypatch):
    """The clients look for tokens in the user's home; here there are none."""
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("MODELSCOPE_HOME", str(tmp_path / "modelscope"))
    ModelScope(environ={}).headers()  # imports the client as the daemon does, with its patience


@pytest.fixture
def hub():
    with FakeHub() as hub:
        yield hub

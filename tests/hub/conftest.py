"""A loopback hub for each test, and clients that find nothing of the user's own."""

import socket

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


@pytest.fixture
def unused_port():
    """A port of this machine on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]

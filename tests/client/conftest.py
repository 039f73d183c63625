"""What tests of finding and starting a daemon stand on."""

import socket

import pytest


@pytest.fixture
def unused_port():
    """A port of this machine on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]

"""The port that llama.cpp connects to: one connection, from this process, and no other."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest

from runner.engine.remote import open_relay
from runner.protocol.messages import LOST_DEVICE

KNOCK = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as peer:
    peer.sendall(b"let me in")
    try:
        sys.stdout.write(repr(peer.recv(9)))
    except ConnectionResetError:
        sys.stdout.write("b''")
"""


@pytest.fixture
def relay():
    """A relay to a device that is a socket here; its port, that socket, and what was lost."""
    there, ours = socket.socketpair()
    lost, is_lost = [], threading.Event()

    def on_lost(address):
        lost.append(address)
        is_lost.set()

    with socket.create_server(("127.0.0.1", 0)) as server:  # TCP, as the real one is
        there.close()
        ours.close()
        ours = socket.create_connection(server.getsockname())
        there, _ = server.accept()
    port = int(open_relay(ours, "far:1", on_lost).rpartition(":")[2])
    yield port, there, lost, is_lost
    there.close()


def connected(port):
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def test_what_this_process_says_comes_there_and_back(relay):
    port, there, lost, _ = relay
    with connected(port) as own:
        own.sendall(b"question")
        assert there.recv(99) == b"question"
        there.sendall(b"answer")
        assert own.recv(99) == b"answer"
    assert there.recv(1) == b""
    assert lost == []


def test_another_process_is_turned_away_and_this_one_still_gets_in(relay):
    port, there, _, _ = relay
    done = subprocess.run([sys.executable, "-c", KNOCK, str(port)], capture_output=True, timeout=60)
    assert done.stdout == b"b''"
    with connected(port) as own:
        own.sendall(b"mine")
        assert there.recv(99) == b"mine"


def test_a_second_connection_finds_nobody(relay):
    port, there, _, _ = relay
    with connected(port) as own:
        own.sendall(b"x")
        assert there.recv(1) == b"x"
        with pytest.raises(ConnectionRefusedError):
            connected(port)


def test_a_device_that_goes_away_is_told_by_its_address(relay):
    port, there, lost, is_lost = relay
    with connected(port) as own:
        own.sendall(b"x")
        assert there.recv(1) == b"x"
        there.close()
        assert is_lost.wait(60)
        assert own.recv(1) == b""
    assert lost == ["far:1"]


def test_the_process_ends_with_the_words_that_the_daemon_looks_for():
    code = "from runner.engine.remote import end_process; end_process('far:1')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.decode() == f"{LOST_DEVICE}far:1\n"

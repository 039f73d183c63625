"""What a command does with a place that takes connections and says nothing at first."""

from __future__ import annotations

import io
import socket
import threading

import pytest

from runner.cli.connect import Need, connect, look
from runner.cli.output import Output
from runner.client import launch
from runner.client.launch import Found, Kind
from runner.domain.address import Address
from runner.errors import InvalidRequest


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_only_what_asks_a_daemon_wants_settings_that_can_be_read(monkeypatch):
    out = Output(io.StringIO(), io.StringIO())
    monkeypatch.setenv("CORRAL_MAX_QUEUE", "many")
    connect(Need.ALONE, out)
    with pytest.raises(InvalidRequest, match="CORRAL_MAX_QUEUE"):
        connect(Need.NOTHING, out)


def test_the_version_is_told_though_a_setting_cannot_be_read(lonely):
    lonely.environ["CORRAL_NUM_PARALLEL"] = "all"
    done = lonely("--version")
    assert (done.returncode, done.out, done.err) == (0, "corral 0.1.0\n", "")
    assert "CORRAL_NUM_PARALLEL: want a whole number" in lonely("list").err


@pytest.fixture
def asked_for(monkeypatch):
    """The waits that were asked for; the first one is short."""
    waits = []
    probe = launch.probe

    def counted(address, timeout_s=0.05):
        waits.append(timeout_s)
        return probe(address, timeout_s if len(waits) == 1 else 20)

    monkeypatch.setattr(launch, "probe", counted)
    return waits


def test_a_daemon_that_a_socket_starts_is_waited_for(listener, asked_for):
    """systemd takes the connection long before the daemon can answer."""
    address = Address("127.0.0.1", listener.getsockname()[1])

    def answer_the_second():
        first, _ = listener.accept()
        second, _ = listener.accept()
        with first, second:
            second.recv(4096)
            head = b"HTTP/1.1 200 OK\r\nX-Corral-Version: 9.9.9\r\nContent-Length: 2\r\n\r\n"
            second.sendall(head + b"{}")

    thread = threading.Thread(target=answer_the_second)
    thread.start()
    words = io.StringIO()
    found = look(address, Output(io.StringIO(), words))
    thread.join()
    assert found == Found(Kind.CORRAL, "9.9.9")
    assert f"waiting for an answer from {address}" in words.getvalue()
    assert asked_for == [0.05, launch.START_S]

"""Sharing: each caller with the key has a process of its own, which ends with it."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from pathlib import Path

import psutil
import pytest

from runner.errors import DeviceError
from runner.relay import provider as providers
from runner.relay.caller import call
from runner.relay.handshake import new_key
from runner.relay.offered import Offered
from runner.relay.provider import Provider
from tests.real_daemon import wait_for

STAND_IN = [sys.executable, str(Path(__file__).with_name("stand_in.py"))]


class Sharing:
    """A provider on loopback; ``pids`` are the processes it started."""

    def __init__(self, *words):
        self.key, self.pids = new_key(), []
        self.words = words or ("echo",)
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self.provider = Provider(listener, self.key, self.start)
        self.thread = threading.Thread(target=self.provider.serve)

    def start(self):
        offered = Offered([*STAND_IN, *self.words])
        self.pids.append(offered.pid)
        return offered

    def call(self):
        return call(self.address, self.key)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.provider.close()
        self.thread.join(60)
        assert not self.thread.is_alive()
        wait_for(self.is_empty, "the devices' processes to end")

    def is_empty(self):
        return not any(psutil.pid_exists(pid) for pid in self.pids)


def test_two_callers_have_a_process_each_and_what_they_say_comes_to_it():
    with Sharing() as sharing:
        (one, told), (two, _) = sharing.call(), sharing.call()
        with one, two:
            assert told == {"build": "b", "devices": []}
            one.sendall(b"one")
            two.sendall(b"two")
            assert (one.recv(9), two.recv(9)) == (b"one", b"two")
            assert len(set(sharing.pids)) == 2


def test_a_process_ends_with_its_caller():
    with Sharing() as sharing:
        peer, _ = sharing.call()
        assert psutil.pid_exists(sharing.pids[0])
        peer.close()
        wait_for(sharing.is_empty, "the process to end")


def test_a_caller_hears_at_once_that_its_process_died_and_the_next_has_a_new_one():
    with Sharing() as sharing:
        peer, _ = sharing.call()
        with peer:
            peer.sendall(b"die")
            with contextlib.suppress(ConnectionResetError):
                assert peer.recv(1) == b""
        again, _ = sharing.call()
        with again:
            again.sendall(b"on")
            assert again.recv(9) == b"on"


def test_a_wrong_key_starts_nothing():
    with Sharing() as sharing:
        with pytest.raises(DeviceError, match="refuses the key"):
            call(sharing.address, new_key())
        assert sharing.pids == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("error", "no driver"), "no driver"),
        (("silent",), "the driver is missing"),
        (("nonsense",), "ended"),
        (("deaf",), "does not listen"),
    ],
)
def test_a_caller_is_told_why_there_is_no_device(words, reason):
    with Sharing(*words) as sharing, pytest.raises(DeviceError) as failed:
        sharing.call()
    assert reason in failed.value.message


def test_strangers_who_say_nothing_do_not_keep_a_caller_out_for_long(monkeypatch):
    monkeypatch.setattr(providers, "MAX_STRANGERS", 2)
    with Sharing() as sharing, contextlib.ExitStack() as stack:
        host, port = sharing.address.split(":")
        silent = [
            stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(2)
        ]
        for each in silent:
            assert each.recv(64).startswith(b"corral-device")  # it has a place
        with pytest.raises(DeviceError):
            sharing.call()
        silent[0].close()

        def gets_in():
            with contextlib.suppress(DeviceError):
                peer, _ = sharing.call()
                peer.close()
                return True
            return False

        assert wait_for(gets_in, "a place")


def test_more_callers_than_there_may_be_are_told_so(monkeypatch):
    monkeypatch.setattr(providers, "MAX_USERS", 1)
    with Sharing() as sharing:
        peer, _ = sharing.call()
        with peer, pytest.raises(DeviceError, match="compute there already"):
            sharing.call()


def test_an_address_where_nothing_listens_is_an_error_for_people():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(DeviceError, match=f"{address} cannot be reached") as failed:
        call(address, new_key())
    assert "corral share" in failed.value.hint

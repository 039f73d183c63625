"""Who has the key gets in, and nobody else; the key itself never travels."""

from __future__ import annotations

import contextlib
import json
import socket
import threading

import pytest
from hypothesis import given, settings, strategies as st

from runner.errors import DeviceError
from runner.relay import handshake
from runner.relay.handshake import Refused, admit, greet, new_key, proof, tell

KEY = new_key()
TOLD = {"build": "b", "devices": [{"name": "CPU"}]}


class Sharing:
    """The sharing side on a thread; ``seen`` is what it heard, ``end`` how it ended."""

    def __init__(self, key=KEY, told=TOLD):
        self.seen, self.end = bytearray(), None
        self.ours, theirs = socket.socketpair()
        self.thread = threading.Thread(target=self._serve, args=(_Heard(theirs, self), key, told))

    def _serve(self, peer, key, told):
        try:
            admit(peer, key)
            tell(peer, told)
        except (Refused, OSError) as error:
            self.end = error
        finally:
            peer.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ours.close()
        self.thread.join(60)
        assert not self.thread.is_alive()


class _Heard:
    """A socket whose bytes are written down."""

    def __init__(self, inner, sharing):
        self.inner, self.sharing = inner, sharing

    def recv(self, n):
        part = self.inner.recv(n)
        self.sharing.seen += part
        return part

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_both_sides_with_the_key_agree_and_the_key_is_not_among_the_bytes():
    with Sharing() as sharing:
        assert greet(sharing.ours, KEY, "there:1") == TOLD
    assert sharing.end is None
    assert KEY.encode() not in sharing.seen


def test_a_wrong_key_is_refused_in_words():
    with Sharing() as sharing, pytest.raises(DeviceError, match="there:1 refuses the key"):
        greet(sharing.ours, new_key(), "there:1")
    assert isinstance(sharing.end, Refused)


def test_a_side_that_says_yes_without_the_key_is_found_out():
    ours, theirs = socket.socketpair()

    def pretend():
        theirs.sendall(b"corral-device 1\n" + bytes(32))
        theirs.recv(1 << 16)
        theirs.sendall(b"+" + bytes(32))

    thread = threading.Thread(target=pretend)
    thread.start()
    with ours, theirs:
        with pytest.raises(DeviceError, match="does not have the key itself"):
            greet(ours, KEY, "there:1")
        thread.join()


def test_what_was_overheard_opens_nothing_the_next_time():
    with Sharing() as first:
        greet(first.ours, KEY, "there:1")
    with Sharing() as second:
        second.ours.recv(1 << 16)
        second.ours.sendall(bytes(first.seen))
        assert second.ours.recv(1) == b"-"
    assert isinstance(second.end, Refused)


def test_a_sides_own_proof_cannot_be_handed_back_to_it():
    nonce, other = bytes(32), bytes(range(32))
    assert proof(KEY, "sharing", nonce, other) != proof(KEY, "using", nonce, other)
    assert proof(KEY, "using", nonce, other) != proof(KEY, "using", other, nonce)


@settings(max_examples=30)
@given(st.binary(min_size=64, max_size=200))
def test_no_bytes_get_in_but_the_proof(raw):
    with Sharing() as sharing:
        sharing.ours.recv(1 << 16)
        sharing.ours.sendall(raw)
        assert sharing.ours.recv(1) == b"-"
    assert isinstance(sharing.end, Refused)


@settings(max_examples=30)
@given(st.binary(max_size=200))
def test_whatever_answers_instead_of_a_device_is_an_error_for_people(raw):
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(raw)
        theirs.close()
        with pytest.raises(DeviceError, match="there:1"):
            greet(ours, KEY, "there:1")


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff\xff", b"null"])
def test_a_device_that_tells_nonsense_is_an_error_for_people(body):
    ours, theirs = socket.socketpair()

    def serve():
        with contextlib.suppress(OSError):
            admit(theirs, KEY)
            theirs.sendall(len(body).to_bytes(4, "little") + body)

    thread = threading.Thread(target=serve)
    thread.start()
    with ours, theirs:
        with pytest.raises(DeviceError, match="there:1"):
            greet(ours, KEY, "there:1")
        thread.join()


def test_a_device_that_is_not_ready_says_why():
    with Sharing(told={"error": "no driver"}) as sharing, pytest.raises(DeviceError) as failed:
        greet(sharing.ours, KEY, "there:1")
    assert "no driver" in failed.value.message


def test_a_caller_that_says_nothing_is_sent_away_in_time(monkeypatch):
    monkeypatch.setattr(handshake, "PROOF_S", 0.05)
    with Sharing() as sharing:
        sharing.ours.recv(1 << 16)
        assert sharing.ours.recv(1) == b""
    assert isinstance(sharing.end, Refused)


def test_keys_are_long_plain_and_never_the_same():
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key) >= 32 and json.dumps(key) == f'"{key}"' for key in keys)

"""Bytes arrive as they were sent, both ways, and who ended first is known before the other is."""

from __future__ import annotations

import socket
import threading

from hypothesis import given, settings, strategies as st

from runner.relay.pipe import Side, join, watch


class Joined:
    """Two ends, and a relay between them on a thread."""

    def __init__(self):
        self.first, a = socket.socketpair()
        self.second, b = socket.socketpair()
        self.ended = []
        self.result = None
        self.thread = threading.Thread(target=self._run, args=(a, b))

    def _run(self, a, b):
        with a, b:
            self.result = join(a, b, self.ended.append)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.first.close()
        self.second.close()
        self.thread.join(60)
        assert not self.thread.is_alive()


def read(end, n):
    found = b""
    while len(found) < n:
        part = end.recv(n - len(found))
        assert part
        found += part
    return found


@settings(max_examples=20)
@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=3000)), max_size=8))
def test_bytes_arrive_as_they_were_sent_both_ways(parts):
    with Joined() as relay:
        for goes_up, raw in parts:
            source, sink = (relay.first, relay.second) if goes_up else (relay.second, relay.first)
            source.sendall(raw)
            assert read(sink, len(raw)) == raw


def test_the_side_that_ends_first_is_told_and_the_other_is_closed():
    for side in Side:
        with Joined() as relay:
            ends = (relay.first, relay.second)
            gone, left = ends if side is Side.FIRST else ends[::-1]
            gone.close()
            assert left.recv(1) == b""
        assert relay.ended == [side]
        assert relay.result is side


def test_who_hears_of_the_end_hears_it_before_the_other_side():
    order = []
    first, a = socket.socketpair()
    second, b = socket.socketpair()

    def on_end(side):
        first.setblocking(False)
        try:
            order.append(first.recv(1))
        except BlockingIOError:
            order.append(side)
        first.setblocking(True)

    thread = threading.Thread(target=join, args=(a, b, on_end))
    thread.start()
    second.close()
    assert first.recv(1) == b""
    thread.join()
    assert order == [Side.SECOND]
    for end in (first, a, b):
        end.close()


def test_a_watched_connection_sends_at_once_and_notices_a_silent_end():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as peer,
    ):
        watch(peer)
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

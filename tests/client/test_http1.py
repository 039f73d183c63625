"""HTTP/1.1 over a socket: whole replies in any cut, and broken ones told apart."""

import contextlib
import socket
import threading

import pytest
from hypothesis import given, settings, strategies as st

from runner.client.http1 import BadReply, exchange

cuts = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def reply_to(raw, sizes=(1 << 16,)):
    """Send ``raw`` in pieces of ``sizes`` from the other end; return the reply and the request."""
    ours, theirs = socket.socketpair()

    def feed():
        rest = raw
        with theirs, contextlib.suppress(OSError):  # a reader may leave once it has all it needs
            while not theirs.recv(4096).endswith(b"{}"):
                pass
            for size in (*sizes, len(raw)):
                theirs.sendall(rest[:size])
                rest = rest[size:]

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        with ours:
            response, file = exchange(ours, "GET", "/x", headers={"Host": "h"}, body=b"{}")
            with file:
                yield response
    finally:
        feeder.join()


def read(raw, sizes=(1 << 16,), how=lambda response: response.read()):
    for response in reply_to(raw, sizes):
        return how(response)
    raise AssertionError


def chunked(body, sizes):
    parts = []
    for size in (*sizes, len(body)):
        piece, body = body[:size], body[size:]
        if piece:
            parts.append(b"%x;note=1\r\n%s\r\n" % (len(piece), piece))
    return b"".join(parts) + b"0\r\n\r\n"


@settings(deadline=None)  # a busy machine is no failure
@given(body=st.binary(max_size=400), chunks=cuts, sizes=cuts)
def test_a_chunked_body_arrives_whole_however_it_is_cut(body, chunks, sizes):
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, chunks)
    assert read(raw, sizes) == body


@settings(deadline=None)  # a busy machine is no failure
@given(lines=st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=8))
def test_lines_arrive_one_by_one_and_the_last_may_lack_its_end(lines):
    body = b"\n".join(lines)
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    found = read(raw, how=lambda response: list(iter(response.readline, b"")))
    assert b"".join(found) == body
    assert [line.count(b"\n") for line in found] == [1] * body.count(b"\n") + [0] * (
        len(found) - body.count(b"\n")
    )


@settings(deadline=None)  # a busy machine is no failure
@given(body=st.binary(max_size=100), sizes=cuts)
def test_a_body_without_a_length_ends_with_the_connection(body, sizes):
    assert read(b"HTTP/1.0 200 OK\r\n\r\n" + body, sizes) == body


def test_an_interim_reply_is_skipped_and_headers_ignore_case():
    raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nX-COrral-VERSION:  7 \r\n\r\n"
    head = read(raw, how=lambda r: (r.status, r.headers["x-corral-version"], r.read()))
    assert head == (204, "7", b"")


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000,
        b"HTTP/1.1 200 OK\r\nA: b",
    ],
)
def test_what_is_no_whole_reply_is_refused(raw):
    with pytest.raises((BadReply, ConnectionError)):
        read(raw)


@settings(deadline=None)  # a busy machine is no failure
@given(raw=st.binary(max_size=200), head=st.booleans())
def test_any_bytes_give_a_body_or_a_known_error(raw, head):
    with contextlib.suppress(BadReply, OSError):
        read((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" if head else b"") + raw)


def test_a_reply_that_comes_before_the_request_is_read_is_still_read():
    """A server may refuse a body by its headers and leave."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno\n")
        theirs.shutdown(socket.SHUT_RD)
    with ours:
        response, file = exchange(ours, "POST", "/", headers={}, body=b"x" * 10_000_000)
        with file:
            assert (response.status, response.read()) == (413, b"no\n")

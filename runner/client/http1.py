"""HTTP/1.1 as much as one request to the daemon needs, over a socket.

``http.client`` brings the standard library's mail parser and TLS along, a quarter of the time
that ``corral list`` takes from start to end.  No proxies, no TLS, no redirects, one request a
connection: the daemon is on this machine or behind the user's own tunnel.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from typing import BinaryIO

_MAX_LINE = 64 * 1024  # of status, headers and chunk sizes
_MAX_HEADERS = 200
_PIECE = 64 * 1024


class BadReply(Exception):
    """The other side does not speak HTTP/1, or broke off before its reply was whole."""


class Response:
    """A reply whose head has arrived.

    Attributes:
        status: As in ``200``.
        headers: By lower-case name; of repeated ones the last.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._buffer = b""
        self.status, self.headers = _head(file)
        while 100 <= self.status < 200:  # an interim reply precedes the real one
            self.status, self.headers = _head(file)
        length = self.headers.get("content-length", "")
        self._is_chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        #: Bytes still to come, of the body or of this chunk; ``None``: until the connection ends.
        self._n_left: int | None = None
        if self._is_chunked or self.status in (204, 304):
            self._n_left = 0
        elif length:
            self._n_left = _number(length, 10)

    def read(self, n_most: int | None = None) -> bytes:
        """Return the rest of the body, or its first ``n_most`` bytes and perhaps a few more.

        Raises:
            BadReply: It is not whole.
            OSError: The connection failed.
        """
        pieces, n_read = [self._buffer], len(self._buffer)
        self._buffer = b""
        while (n_most is None or n_read < n_most) and (piece := self._piece()):
            pieces.append(piece)
            n_read += len(piece)
        return b"".join(pieces)

    def readline(self) -> bytes:
        """Return the body's next line as soon as it is there; the last may lack its end.

        Raises:
            BadReply: The body is not whole.
            OSError: The connection failed.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            piece = self._piece()
            if not piece:
                end = searched - 1
                break
            self._buffer += piece
        line, self._buffer = self._buffer[: end + 1], self._buffer[end + 1 :]
        return line

    def _piece(self) -> bytes:
        """Return what of the body has arrived, waiting for a first byte; empty at its end."""
        if self._n_left == 0 and self._is_chunked:
            self._n_left = self._chunk_size()
            if self._n_left == 0:
                self._is_chunked = False  # trailers may follow; nobody needs them
        if self._n_left == 0:
            return b""
        if self._n_left is None:
            return _read1(self._file, _PIECE)
        piece = _read1(self._file, min(self._n_left, _PIECE))
        if not piece:
            raise BadReply(f"{self._n_left} bytes short")
        self._n_left -= len(piece)
        if self._n_left == 0 and self._is_chunked and _line(self._file):
            raise BadReply("a chunk is longer than it says")
        return piece

    def _chunk_size(self) -> int:
        return _number(_line(self._file).partition(b";")[0].decode("latin-1"), 16)


def exchange(
    sock: socket.socket,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None,
) -> tuple[Response, BinaryIO]:
    """Send one request; return the reply once its head is there, and the file to close later.

    Raises:
        BadReply: It is no HTTP.
        OSError: The connection failed.
    """
    lines = [f"{method} {path} HTTP/1.1", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    with contextlib.suppress(ConnectionError):  # a body was refused: the reply says why
        sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
    file = sock.makefile("rb")
    try:
        return Response(file), file
    except BaseException:
        file.close()
        raise


def _head(file: BinaryIO) -> tuple[int, dict[str, str]]:
    line = _line(file)
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1."):
        raise BadReply(f"begins with {line[:40]!r}")
    status = _number(rest[:3].decode("latin-1"), 10)
    headers: dict[str, str] = {}
    for _ in range(_MAX_HEADERS):
        line = _line(file)
        if not line:
            return status, headers
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    raise BadReply(f"more than {_MAX_HEADERS} headers")


def _line(file: BinaryIO) -> bytes:
    line = file.readline(_MAX_LINE)
    if not line.endswith(b"\n"):
        if not line:
            raise ConnectionResetError("closed without a reply")
        raise BadReply("a line that does not end")
    return line.rstrip(b"\r\n")


def _read1(file: BinaryIO, n_most: int) -> bytes:
    piece: bytes = file.read1(n_most)  # type: ignore[attr-defined]  # a socket's file is buffered
    return piece


def _number(text: str, base: int) -> int:
    try:
        number = int(text.strip(), base)
    except ValueError:
        raise BadReply(f"'{text[:40]}' where a number should be") from None
    if number < 0:
        raise BadReply(f"{number} where a length should be")
    return number

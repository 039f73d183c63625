"""A loopback file server that misbehaves on demand, and counts every byte it gives away.

    with FileServer({"/model.gguf": content}) as server:
        server.faults["/model.gguf"] = [Drop(after=1000), Status(503, retry_after=2)]
        server.url("/model.gguf")

Each request for a path uses up the first of its faults; a fault with ``times=-1`` stays.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")
_PIECE = 32 << 10


@dataclass
class Fault:
    """What goes wrong, for how many requests; -1: all.

    Attributes:
        kind: "drop" (the connection ends), "stall" (nothing more comes), "short" (a
            Content-Length that is too small), "long" (one that is too large), "flip" (a wrong
            byte), "whole" (200 to a range), "lie" (Content-Range of other bytes), "size"
            (Content-Range of a file of another size), "status", "loop" (a redirect to itself),
            "redirect" (to ``to``), "page" (an HTML page instead of the file).
        after: Bytes of this body that come before it happens.
        at: Offset in the file of the wrong byte.
    """

    kind: str
    times: int = 1
    after: int = 0
    at: int = 0
    status: int = 500
    retry_after: str = ""
    to: str = ""


class FileServer:
    """Serves ``files`` (path → bytes) with ranges and strong ETags.

    Attributes:
        faults: Path → what goes wrong there, in order.
        served: Path → ranges ``(first, last)`` of the bytes that were given away.
        requests: Every ``(path, headers)`` seen, headers by lower-case name.
        rate_bps: Bytes a second of each connection; 0: as fast as they go.
        piece_bytes: Sent at a time; more make it fast, and its counts less exact.
        token: What ``Authorization`` must be where it is set; else the answer is 401.
        etags: Path → what to say in place of the content's own ETag; empty: nothing.
        cdn: Where requests for files are redirected, with links that expire.
        link_uses: Requests that one link of this server as a ``cdn`` is good for; 0: any number.
    """

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = dict(files or {})
        self.faults: dict[str, list[Fault]] = {}
        self.served: dict[str, list[tuple[int, int]]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.rate_bps = 0
        self.piece_bytes = _PIECE
        self.token = ""
        self.etags: dict[str, str] = {}
        self.cdn: FileServer | None = None
        self.link_uses = 0
        self.n_links = 0
        self.uses: dict[str, int] = {}
        self.lock = threading.Lock()
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> FileServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def url(self, path: str) -> str:
        return self.origin + path

    def n_served(self, path: str) -> int:
        """Bytes of a file that were given away, all answers together."""
        with self.lock:
            return sum(last - first for first, last in self.served.get(path, []))

    def asked(self, path: str) -> list[dict[str, str]]:
        """Headers of the requests for a path."""
        return [headers for seen, headers in self.requests if seen == path]

    def next_fault(self, path: str) -> Fault | None:
        with self.lock:
            waiting = self.faults.get(path) or []
            if not waiting:
                return None
            fault = waiting[0]
            fault.times -= 1
            if fault.times == 0:
                waiting.pop(0)
            return fault


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    fake: FileServer

    def handle_error(self, request, client_address):
        """A client that leaves is no error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self):
        if self.server.fake.piece_bytes == _PIECE:
            # Small, so that bytes count as served when the other side's system has them.
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
        super().setup()

    def log_message(self, *_):
        """Quiet."""

    def do_GET(self):
        fake, parts = self.server.fake, urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        with fake.lock:
            fake.requests.append((parts.path, headers))
        content = fake.files.get(parts.path)
        if content is None:
            return self._plain(404)
        if fake.token and headers.get("authorization") != fake.token:
            return self._plain(401)
        if fake.link_uses and not self._link_holds(parts.query):
            return self._plain(403)
        fault = fake.next_fault(parts.path)
        if fault and fault.kind in ("status", "loop", "redirect", "page"):
            return self._refuse(fault)
        if fake.cdn is not None:
            return self._redirect(parts.path, content)
        return self._file(parts.path, content, headers, fault)

    def do_HEAD(self):
        fake, path = self.server.fake, urlsplit(self.path).path
        content = fake.files.get(path)
        if content is None:
            return self._plain(404)
        self.send_response(200)
        self._name_hub_facts(path, content)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()

    def _link_holds(self, query):
        fake, link = self.server.fake, parse_qs(query).get("link", [""])[0]
        with fake.lock:
            fake.uses[link] = fake.uses.get(link, 0) + 1
            return bool(link) and fake.uses[link] <= fake.link_uses

    def _redirect(self, path, content):
        fake = self.server.fake
        with fake.lock:
            fake.n_links += 1
            link = f"{fake.cdn.url(path)}?link={fake.n_links}&name=a%20b"
        self.send_response(302)
        self.send_header("Location", link)
        self.send_header("X-Linked-ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _refuse(self, fault):
        if fault.kind == "page":
            return self._plain(200, b"<html>log in first</html>", "text/html")
        if fault.kind == "status":
            return self._plain(fault.status, retry_after=fault.retry_after)
        self.send_response(307)
        self.send_header("Location", fault.to or self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def _plain(self, status, body=b"no", kind="text/plain", retry_after=""):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(body)

    def _name_hub_facts(self, path, content):
        """What Hugging Face's own client wants to see of a file."""
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Accept-Ranges", "bytes")

    def _file(self, path, content, headers, fault):
        fake, kind = self.server.fake, fault.kind if fault else ""
        etag = fake.etags.get(path)
        etag = f'"{len(content)}-{content[:8].hex()}"' if etag is None else etag
        asked = _RANGE.match(headers.get("range", ""))
        if headers.get("if-range") not in (None, etag) or kind == "whole":
            asked = None
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2]) + 1, len(content)) if asked and asked[2] else len(content)
        if first >= len(content):
            return self._plain(416)
        length = last - first
        told = {"short": length // 2, "long": length + 10}.get(kind, length)
        self.send_response(206 if asked else 200)
        if etag:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(told))
        if asked:
            shift = 7 if kind == "lie" else 0
            total = len(content) + (1 if kind == "size" else 0)
            self.send_header("Content-Range", f"bytes {first + shift}-{last - 1 + shift}/{total}")
        self.end_headers()
        if kind == "long":
            self.close_connection = True
        self._send(path, content, first, first + min(told, length), fault)
        return None

    def _send(self, path, content, first, last, fault):
        fake, kind = self.server.fake, fault.kind if fault else ""
        stop = first + fault.after if kind in ("drop", "stall") else last
        with fake.lock:
            row = len(fake.served.setdefault(path, []))
            fake.served[path].append((first, first))
        began, view = time.monotonic(), memoryview(content)
        at = first
        while at < min(last, stop):
            piece = bytes(view[at : min(at + fake.piece_bytes, last, stop)])
            if kind == "flip" and at <= fault.at < at + len(piece):
                wrong = bytearray(piece)
                wrong[fault.at - at] ^= 0x40
                piece = bytes(wrong)
            try:
                self.connection.sendall(piece)
            except OSError:
                self.close_connection = True
                return
            at += len(piece)
            with fake.lock:
                fake.served[path][row] = (first, at)
            if fake.rate_bps:
                ahead_s = (at - first) / fake.rate_bps - (time.monotonic() - began)
                if ahead_s > 0 and fake.over.wait(ahead_s):
                    return
        if kind == "stall" and at < last:
            fake.over.wait(60)
        if kind in ("drop", "stall") and at < last:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

"""One HTTP connection of a download: TLS, proxies, and a way to break it off from outside.

Which bytes are asked for, redirects and what an answer means are ``wire.py``'s.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

from runner import __version__

#: Most bytes that may lie unread in the system's buffers of one connection: what a killed process
#: loses.  The window alone is held down; the buffer stays the system's to size.
_WINDOW_BYTES = 768 << 10
_SAFE = "%/:=&?~#+!$,;'@()*[]"  # what a URL that came encoded keeps
_ERROR_BODY_BYTES = 64 << 10
#: Seconds for one address of a host to take a connection; the system would try for two minutes.
_CONNECT_S = 10.0


class Connection:
    """A connection that is kept for the next request to the same host.

    One thread asks; ``abort`` may come from any, and makes its waiting end at once.
    """

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._place: tuple[str, str] | None = None
        self._http: http.client.HTTPConnection | None = None
        self._lock = threading.Lock()
        self._is_aborted = False

    def get(self, url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """Ask for ``url`` and return the answer once its head is there, whatever it says.

        Raises:
            OSError: The host cannot be reached, or is not who it should be.
            http.client.HTTPException: It does not speak HTTP.
        """
        is_kept = self._http is not None
        try:
            return self._ask(url, headers)
        except (http.client.RemoteDisconnected, ConnectionError):
            self.close()
            if not is_kept or self._is_aborted:
                raise
            return self._ask(url, headers)  # a kept connection may have ended since

    def abort(self) -> None:
        """Break off whatever is under way, for good."""
        with self._lock:
            self._is_aborted = True
            sock = self._http.sock if self._http is not None else None
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def finish(self, response: http.client.HTTPResponse) -> None:
        """Be done with an answer: keep the connection if it is read to its end, else close it."""
        length = response.length
        is_small = response.status >= 300 and (length or 0) <= _ERROR_BODY_BYTES
        if length == 0 or (length is not None and is_small):
            with contextlib.suppress(OSError, http.client.HTTPException):
                response.read()
        if not response.isclosed():
            self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        with self._lock:
            http_, self._http = self._http, None
        if http_ is not None:
            http_.close()

    def _ask(self, url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        proxy = proxy_for(parts.scheme, parts.netloc)
        place = (f"{parts.scheme}://{parts.netloc}", proxy)
        if self._http is None or self._place != place:
            self.close()
            self._open(url, proxy)
            self._place = place
        assert self._http is not None, "it was opened just now"
        target = quote(parts.path or "/", safe=_SAFE)
        if parts.query:
            target += "?" + quote(parts.query, safe=_SAFE)
        own = {"User-Agent": f"corral/{__version__}", "Accept": "*/*"}
        if proxy and parts.scheme == "http":
            target = f"http://{parts.netloc}{target}"
            own |= _proxy_headers(proxy)
        self._http.request("GET", target, headers={**own, "Accept-Encoding": "identity", **headers})
        return self._http.getresponse()

    def _open(self, url: str, proxy: str) -> None:
        """Connect, through the proxy if there is one."""
        parts = urlsplit(url)
        via = urlsplit(proxy) if proxy else parts
        host, port = via.hostname or "", via.port
        made: http.client.HTTPConnection
        connect_s = min(self._stall_s, _CONNECT_S)
        if parts.scheme == "https":
            made = http.client.HTTPSConnection(
                host, port or (80 if proxy else 443), timeout=connect_s, context=_trust()
            )
            if proxy:
                made.set_tunnel(
                    parts.hostname or "", parts.port or 443, headers=_proxy_headers(proxy)
                )
        else:
            made = http.client.HTTPConnection(host, port or 80, timeout=connect_s)
        made.connect()
        made.sock.settimeout(self._stall_s)
        if hasattr(socket, "TCP_WINDOW_CLAMP"):
            with contextlib.suppress(OSError):
                made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, _WINDOW_BYTES)
        with self._lock:
            self._http = made
            if self._is_aborted:
                raise ConnectionAbortedError("broken off")


def proxy_for(scheme: str, netloc: str) -> str:
    """The proxy that the environment (or the system) names for a host; empty: none."""
    host = netloc.rpartition("@")[2]
    proxies = urllib.request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all") or ""
    if not proxy or urllib.request.proxy_bypass(host):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _proxy_headers(proxy: str) -> dict[str, str]:
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    words = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(words.encode()).decode()}


def _trust() -> ssl.SSLContext:
    """Whom to believe: the system's authorities, or those that came along where it has none."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        with contextlib.suppress(ImportError):
            import certifi

            context.load_verify_locations(certifi.where())
    return context

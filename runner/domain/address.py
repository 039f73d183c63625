"""Addresses of a daemon, as people write them: ``127.0.0.1:11434``, a URL, ``unix:///path``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

DEFAULT_PORT = 11434


@dataclass(frozen=True, slots=True)
class Address:
    """Where the daemon listens.

    Attributes:
        host: A name, or an address without brackets; empty for a socket in the file system.
        port: Its port; 0 for such a socket.
        scheme: ``http``, ``https`` or ``unix``.
        path: The socket's path; only with ``unix``.
        certificate: A certificate that this daemon may show whoever signed it: the one in
            ``CORRAL_TLS_CERT``, which whoever reads our settings can trust.
    """

    host: str
    port: int
    scheme: str = "http"
    path: str = ""
    certificate: str = field(default="", compare=False)

    def __str__(self) -> str:
        if self.scheme == "unix":
            return self.url
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https://' if self.scheme == 'https' else ''}{host}:{self.port}"

    @property
    def reachable(self) -> Address:
        """Where a client on this machine finds it: a wildcard is no place to connect to."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return replace(self, host=host)

    @property
    def url(self) -> str:
        """Base URL for a client on this machine."""
        if self.scheme == "unix":
            return f"unix://{self.path}"
        place = str(self.reachable)
        return place if self.scheme == "https" else f"http://{place}"

    @property
    def next_one(self) -> Address:
        """One to try where another program has this one: the next port."""
        if self.scheme == "unix":
            return DEFAULT_ADDRESS
        return replace(self, port=self.port + 1 if self.port < 65535 else DEFAULT_PORT)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return (
            self.scheme == "unix"
            or self.host in ("localhost", "::1")
            or self.host.startswith("127.")
        )


def parse_address(text: str) -> Address:
    """Return the address in ``text``: ``host``, ``:port``, ``host:port`` or a URL.

    Raises:
        ValueError: It is none of these.
    """
    scheme, _, rest = text.rpartition("://")
    if scheme.lower() == "unix":
        if not rest.startswith("/") or "\0" in rest:
            raise ValueError(f"want an absolute path after unix://, not '{rest}'")
        return Address("", 0, "unix", rest)
    if scheme.lower() not in ("", "http", "https"):
        raise ValueError(f"'{scheme}' is not http, https or unix")
    parts = urlsplit(f"//{rest}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"bad port in '{text}'; want a number from 1 to 65535") from None
    if port is None:
        port = {"http": 80, "https": 443}.get(scheme.lower(), DEFAULT_PORT)
    kind = "https" if scheme.lower() == "https" else "http"
    return Address(parts.hostname or "127.0.0.1", port, kind)


#: Where clients of this kind of program look first.
DEFAULT_ADDRESS = Address("127.0.0.1", DEFAULT_PORT)

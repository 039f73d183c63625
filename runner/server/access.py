"""Who may call: the rules about hosts, origins and the owner's token; pure.

Loopback is shared by every user and every web page of a machine.  Against pages stand two rules:
the ``Host`` must be a name of this machine (a page that rebinds its own name fails here), and an
``Origin`` must be one we know.  Even then a page without the owner's token may only infer.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")

#: Pages of this machine, and apps that are pages inside; a ``*`` stands for any text, after a
#: colon at the end for any port.
_DEFAULT_ORIGINS = (
    *(
        f"{scheme}://{host}{port}"
        for scheme in ("http", "https")
        for host in ("localhost", "127.0.0.1", "[::1]", "0.0.0.0")
        for port in ("", ":*")
    ),
    *(f"{scheme}://*" for scheme in ("app", "file", "tauri", "vscode-webview", "vscode-file")),
)


@dataclass(frozen=True, slots=True)
class Access:
    """The rules of one daemon.

    Attributes:
        owner_token: What CLI and app send as bearer; empty means that nobody is the owner.
        loopback_only: Whether the daemon listens on this machine only, so that every ``Host``
            but its own is a trick.
        origins: Further origins that may call, ``*`` allowed in them.
        hostname: This machine's name.
        needs_key: Whether nobody but the owner may call without a key of ours.
        key_prefix: What the keys of ours begin with.
        folders: Where the program's files are; only the owner reads of them in an answer.
    """

    owner_token: str
    loopback_only: bool
    origins: tuple[str, ...]
    hostname: str
    needs_key: bool = False
    key_prefix: str = "corral-"
    folders: tuple[str, ...] = ()

    def is_token(self, sent: str) -> bool:
        """Whether this is the owner's token."""
        own = self.owner_token.encode()
        return bool(own) and hmac.compare_digest(sent.encode(errors="replace"), own)

    def is_key(self, sent: str) -> bool:
        """Whether this can be a key of ours, by its form."""
        return sent.startswith(self.key_prefix)

    def concealed(self, text: str) -> str:
        """Return ``text`` without the places of this machine's files."""
        for folder in sorted(self.folders, key=len, reverse=True):
            if len(folder) > 1:
                text = text.replace(folder, "…")
        return text

    def allows_host(self, host: str) -> bool:
        """Whether a request with this ``Host`` header may come in; empty means none was sent."""
        return not self.loopback_only or not host or self._is_own_name(_hostname(host))

    def allows_origin(self, origin: str, host: str) -> bool:
        """Whether a page of this origin may call; ``host`` is the ``Host`` it called."""
        lower = origin.lower()
        patterns = (*_DEFAULT_ORIGINS, *(pattern.lower() for pattern in self.origins))
        if not lower.isascii():  # it comes back in a header
            return False
        if any(_matches(pattern, lower) for pattern in patterns):
            return True
        # A page that this daemon, or a proxy before it, serves itself.
        same = lower in (f"http://{host.lower()}", f"https://{host.lower()}")
        return same and self._is_own_name(_hostname(host))

    def _is_own_name(self, name: str) -> bool:
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            own = name == "localhost" or name == self.hostname.lower()
            return own or name.endswith(_LOCAL_SUFFIXES)
        return address.is_loopback or address.is_private or address.is_unspecified


def _matches(pattern: str, text: str) -> bool:
    if pattern.endswith(":*"):
        text, _, port = text.rpartition(":")
        if not (port.isascii() and port.isdigit()):
            return False
        pattern = pattern.removesuffix(":*")
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(".*".join(parts), text) is not None


def _hostname(host: str) -> str:
    """The name or address in a ``Host`` header, without port, brackets and final dot."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:  # unbalanced brackets
        return ""
    return name.rstrip(".")

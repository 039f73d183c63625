"""What models are computed on, as people name it: ``CUDA0``, ``-Vulkan1``, ``10.0.0.5:11435``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from runner.errors import InvalidRequest

#: Where ``corral share`` listens when it is told nothing else.
SHARE_PORT = 11435

_MOST_WORDS = 16
_NAME = re.compile(r"-?[A-Za-z][A-Za-z0-9_.]{0,39}")
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?")  # a name, or IPv6
_MAX_ADDRESS = 255


@dataclass(frozen=True, slots=True)
class SharedDevice:
    """A device of another machine that the daemon has the key of.

    Attributes:
        address: ``host:port`` of its ``corral share``.
        is_lost: Whether it was lost a moment ago, and is left out for a while.
    """

    address: str
    is_lost: bool = False


def is_address(word: str) -> bool:
    """Whether a word names another machine's device."""
    return ":" in word


def device_address(text: str) -> str:
    """Return the address in ``text``, always with its port: ``host:port``, ``[::1]:port``.

    Raises:
        InvalidRequest: It is none.
    """
    try:
        parts = urlsplit(f"//{text.strip()}")
        host = parts.hostname or ""
        port = SHARE_PORT if parts.port is None else parts.port
        is_plain = parts.netloc == text.strip() and parts.username is None
    except ValueError:
        host, port, is_plain = "", 0, False
    if not is_plain or not _HOST.fullmatch(host) or len(host) > _MAX_ADDRESS:
        raise InvalidRequest(
            f"'{text[:80]}' is no address of a device",
            hint="want HOST:PORT, as 'corral share' prints it on the other machine",
            param="devices",
        )
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def device_words(texts: Iterable[str]) -> tuple[str, ...]:
    """Return names and addresses of devices in one form, in their order, each once.

    A text may hold several, separated by commas.

    Raises:
        InvalidRequest: One can be neither, or there are too many.
    """
    words: list[str] = []
    for word in (part.strip() for text in texts for part in text.split(",")):
        if not (is_address(word) or _NAME.fullmatch(word)):
            raise InvalidRequest(
                f"'{word[:80]}' can be no device",
                hint="want a name as 'corral doctor' shows it, -NAME to leave one out, or"
                " HOST:PORT of another machine's 'corral share'",
                param="devices",
            )
        known = device_address(word) if is_address(word) else word
        if known not in words:
            words.append(known)
    if len(words) > _MOST_WORDS:
        raise InvalidRequest(
            f"devices has {len(words)} names, at most {_MOST_WORDS}", param="devices"
        )
    return tuple(words)

"""Letting other computers in: what the setting ``host`` says of it, and its new value.  Pure.

A wildcard address serves all networks of the machine, the loopback one this machine alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_address

from runner.domain.address import DEFAULT_PORT, Address, parse_address

#: The setting.
NAME = "host"
_ALL, _OWN = "0.0.0.0", "127.0.0.1"


def address_of(value: str) -> Address:
    """Return the address in the setting; one that cannot be read is this machine's own."""
    try:
        return parse_address(value)
    except ValueError:
        return Address(_OWN, DEFAULT_PORT)


def is_open(value: str) -> bool:
    """Return whether other computers can reach the daemon."""
    return not address_of(value).is_loopback


def switched(value: str, is_open: bool) -> str:
    """Return the setting with others let in or not; port and scheme stay."""
    old = address_of(value)
    port = old.port or DEFAULT_PORT
    return str(Address(_ALL if is_open else _OWN, port, _scheme(old)))


def places(value: str, own: Iterable[str], *, is_tls: bool = False) -> Sequence[str]:
    """Return the addresses under which others find it.

    Args:
        value: The setting.
        own: Addresses of this machine.
        is_tls: Whether it shows a certificate.
    """
    address = address_of(value)
    if is_tls:
        address = replace(address, scheme="https")
    if address.is_loopback:
        return []
    if address.reachable == address:  # one address, not a wildcard
        return [_url(address)]
    found = sorted({one for one in own if _is_of_a_network(one)}, key=_rank)
    return [_url(replace(address, host=one)) for one in found]


def _scheme(address: Address) -> str:
    return "https" if address.scheme == "https" else "http"


def _url(address: Address) -> str:
    text = str(address)
    return text if address.scheme == "https" else f"http://{text}"


def _is_of_a_network(text: str) -> bool:
    """Whether others of a network know the machine by this address."""
    try:
        found = ip_address(text)
    except ValueError:  # an IPv6 address with the name of its link
        return False
    return not (found.is_loopback or found.is_link_local or found.is_unspecified)


def _rank(text: str) -> tuple[int, str]:
    """Shorter, older addresses first."""
    return ip_address(text).version, text

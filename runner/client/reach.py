"""A connection to the daemon: a port, a port with TLS, or a socket in the file system."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import SplitResult, urlsplit


class NotTrusted(OSError):
    """The other side's certificate is not one to trust."""


def reach(url: str, timeout_s: float, *, certificate: str = "") -> socket.socket:
    """Return a connected socket.

    Args:
        url: ``http://host:port``, ``https://host:port`` or ``unix:///path``.
        timeout_s: Longest wait for each step.
        certificate: File of a certificate to trust whoever signed it and whatever name it has;
            the system's authorities and ``SSL_CERT_FILE`` are trusted as ever.

    Raises:
        NotTrusted: The certificate shown is none to trust.
        OSError: Nothing can be reached there.
    """
    parts = urlsplit(url)
    if parts.scheme == "unix":
        local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            local.settimeout(timeout_s)
            local.connect(parts.path)
        except BaseException:
            local.close()
            raise
        return local
    is_tls = parts.scheme == "https"
    peer = parts.hostname or "", parts.port or (443 if is_tls else 80)
    plain = socket.create_connection(peer, timeout_s)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _wrapped(plain, parts, certificate) if is_tls else plain
    except BaseException:
        plain.close()
        raise


def _wrapped(plain: socket.socket, parts: SplitResult, certificate: str) -> socket.socket:
    """Speak TLS over ``plain``."""
    import ssl  # here, because most daemons speak plain HTTP, and it takes a while to load

    known = _first_certificate(certificate) if certificate else b""
    context = ssl.create_default_context()
    if known:
        # Our own daemon's: compared byte for byte below, so nobody else need vouch for it.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        wrapped = context.wrap_socket(plain, server_hostname=parts.hostname)
    except ssl.SSLCertVerificationError as error:
        raise NotTrusted(error.verify_message) from None
    if known and wrapped.getpeercert(binary_form=True) != known:
        wrapped.close()
        raise NotTrusted("it is not the one in CORRAL_TLS_CERT")
    return wrapped


def _first_certificate(file: str) -> bytes:
    """The first certificate of a PEM file, as it goes over the wire; nothing if there is none."""
    import ssl

    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        text = Path(file).read_text(encoding="ascii", errors="ignore")
        return ssl.PEM_cert_to_DER_cert(text[text.index(begin) : text.index(end)] + end)
    except (OSError, ValueError):
        return b""

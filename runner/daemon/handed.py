"""A socket that whoever started the daemon has opened for it: systemd's socket activation.

The first request then starts the daemon, and none is refused while it restarts.  The protocol is
two variables and a descriptor: ``sd_listen_fds(3)``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from dataclasses import replace

from runner.domain.address import Address
from runner.errors import InvalidRequest

#: The first descriptor that is handed over, ``SD_LISTEN_FDS_START``.
_FIRST = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def take_socket(environ: MutableMapping[str, str] = os.environ) -> socket.socket | None:
    """Return the socket that was handed over; ``None`` when there is none for this process.

    The variables are gone afterwards: no process that this one starts takes the socket for its own.

    Raises:
        InvalidRequest: Several were handed over, or what was is no socket that listens.
    """
    told = {name: environ.pop(name, "") for name in _VARIABLES}
    if told["LISTEN_PID"] != str(os.getpid()) or told["LISTEN_FDS"] in ("", "0"):
        return None
    if told["LISTEN_FDS"] != "1":
        raise InvalidRequest(
            f"{told['LISTEN_FDS']} sockets were handed over, but one is listened at",
            hint="leave one ListenStream= in corral.socket",
        )
    try:
        os.set_inheritable(_FIRST, False)
        handed = socket.socket(fileno=_FIRST)
        listens = handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise InvalidRequest(
            f"what was handed over is no socket: {error.strerror}", hint="see corral.socket"
        ) from None
    if not listens:
        handed.detach()
        raise InvalidRequest(
            "the socket that was handed over does not listen",
            hint="corral.socket needs Accept=no, which is what it is unless set",
        )
    handed.setblocking(False)
    return handed


def address_of(handed: socket.socket, asked: Address) -> Address:
    """Return where the socket listens.

    Args:
        handed: As ``take_socket`` returns it.
        asked: ``CORRAL_HOST``, which says who may come.

    Raises:
        InvalidRequest: Other machines reach the socket, but by the settings they may not.
    """
    name = handed.getsockname()
    if handed.family == getattr(socket, "AF_UNIX", None):
        return Address("", 0, "unix", str(name))
    found = replace(asked, host=str(name[0]), port=int(name[1]), scheme=_scheme(asked), path="")
    if asked.is_loopback and not found.is_loopback:
        raise InvalidRequest(
            f"the socket that was handed over listens at {found}, for other machines,"
            f" but CORRAL_HOST is {asked}",
            hint=f"set CORRAL_HOST={found} in corral.service, or let corral.socket listen at"
            " 127.0.0.1",
        )
    return found


def _scheme(asked: Address) -> str:
    return "https" if asked.scheme == "https" else "http"

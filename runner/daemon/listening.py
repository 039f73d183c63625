"""Where the daemon listens: a port, with or without TLS, or a socket in the file system."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from runner.client.launch import Kind, probe
from runner.config import Settings
from runner.daemon.handed import address_of, take_socket
from runner.domain.address import DEFAULT_PORT, Address
from runner.errors import AddressInUse, InvalidRequest
from runner.server.app import runner_for

#: Descriptors that are not connections: files, pipes of workers, downloads.
_N_OTHER_FILES = 256


@contextlib.asynccontextmanager
async def listening(
    app: web.Application, settings: Settings, *, grace_s: float
) -> AsyncIterator[Address]:
    """Accept requests for a block; yields the address with the port that was bound.

    A socket that was handed over (``handed.py``) is used instead of one of our own.

    Raises:
        AddressInUse: Something else listens there.
        InvalidRequest: The certificate, or the socket that was handed over, cannot be used.
    """
    if (handed := take_socket()) is not None:
        async with _listening_at(handed, app, settings, grace_s=grace_s) as address:
            yield address
        return
    address = settings.host
    tls = _tls(settings)
    runner = runner_for(app, grace_s=grace_s)
    await runner.setup()
    is_bound = False
    try:
        site: web.BaseSite
        if address.scheme == "unix":
            await asyncio.to_thread(_clear_the_place, Path(address.path))
            site = web.UnixSite(runner, address.path)
        else:
            site = web.TCPSite(runner, address.host, address.port, ssl_context=tls)
        try:
            # For the socket's file: what others may not open from its first moment.
            with _umask(0o177):
                await site.start()
        except (OSError, UnicodeError) as error:  # the latter of names that no resolver takes
            raise await _cannot_listen(address, error) from None
        is_bound = True
        if address.scheme == "unix":
            yield address
            return
        port = runner.addresses[0][1] if runner.addresses else address.port
        yield replace(address, port=port)
    finally:
        await runner.cleanup()
        if is_bound and address.scheme == "unix":
            with contextlib.suppress(OSError):
                os.unlink(address.path)  # noqa: PTH108 - at the end nothing waits for it


@contextlib.asynccontextmanager
async def _listening_at(
    handed: socket.socket, app: web.Application, settings: Settings, *, grace_s: float
) -> AsyncIterator[Address]:
    """Accept requests at a socket that somebody else opened, and will use again after us."""
    address = address_of(handed, settings.host)
    tls = None if address.scheme == "unix" else _tls(settings)
    runner = runner_for(app, grace_s=grace_s)
    await runner.setup()
    try:
        await web.SockSite(runner, handed, ssl_context=tls).start()
        yield address
    finally:
        await runner.cleanup()


def allow_files(n_connections: int) -> None:
    """Raise the process's own limit on open files so that all connections fit, where it may."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = n_connections + _N_OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.host.scheme == "unix" or not settings.tls_cert:
        if settings.host.scheme == "https":
            raise InvalidRequest(
                f"CORRAL_HOST is {settings.host}, but there is no certificate",
                hint="name one with CORRAL_TLS_CERT, and its key with CORRAL_TLS_KEY",
            )
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # No password is asked for: a daemon has nobody to ask.
        context.load_cert_chain(settings.tls_cert, settings.tls_key or None, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or str(error)
        raise InvalidRequest(
            f"the certificate {settings.tls_cert} cannot be used: {reason}",
            hint="CORRAL_TLS_CERT and CORRAL_TLS_KEY name PEM files that belong together;"
            " the key may not be encrypted",
        ) from None
    return context


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    """Create files with fewer rights for a block."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _clear_the_place(path: Path) -> None:
    """Remove the socket that a daemon left behind when it was killed.

    Raises:
        AddressInUse: Something answers there, or it is no socket.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise AddressInUse(f"cannot listen at {path}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise AddressInUse(
            f"{path} is a file, and no socket", hint="name another place with CORRAL_HOST"
        )
    with socket.socket(socket.AF_UNIX) as other:
        other.settimeout(1.0)
        try:
            other.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise AddressInUse(f"cannot listen at {path}: {error}") from None
    raise AddressInUse(
        f"another program listens at {path}", hint="stop it, or name another place with CORRAL_HOST"
    )


async def _cannot_listen(address: Address, error: OSError | UnicodeError) -> AddressInUse:
    if not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
        return AddressInUse(
            f"cannot listen on {address}: {getattr(error, 'strerror', '') or error}",
            hint=f"set another address with CORRAL_HOST=127.0.0.1:{DEFAULT_PORT}",
        )
    found = await asyncio.to_thread(probe, address)
    who = {
        Kind.OLLAMA: "Ollama",
        Kind.CORRAL: f"another Corral daemon (version {found.version})",
    }.get(found.kind, "another program")
    free = replace(address, port=address.port + 1 if address.port < 65535 else DEFAULT_PORT)
    hint = f"stop it, or use another address: CORRAL_HOST={free} corral serve"
    return AddressInUse(f"{address} is taken: {who} answers there", hint=hint)

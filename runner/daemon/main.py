"""``corral serve``: has everything built, serves until told to stop, and shuts down in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from aiohttp import web
from aiohttp.http import HttpProcessingError

from runner import __version__, logs
from runner.config import Settings, load_settings
from runner.daemon.listening import allow_files, listening
from runner.daemon.lockfile import DaemonRecord, only_daemon, write_record
from runner.daemon.log_file import kept_short
from runner.daemon.parts import Parts, build, pool_settings
from runner.domain.address import Address
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.errors import CorralError, InvalidRequest
from runner.hub.proxied import name_proxy
from runner.paths import Paths, find_paths
from runner.server.access import Access
from runner.server.app import make_app
from runner.server.connections import Limits
from runner.server.marks import DOOR
from runner.service.inference import InferenceService
from runner.service.keys import PREFIX, KeyService

logger = logging.getLogger(__name__)

#: The one argument of ``corral serve``.
_NO_KEY = "--insecure-no-key"

#: The log's last lines, for ``/api/logs``: a process has one log.
_tail = logs.Tail()

#: Settings whose new value counts at once.
_AT_ONCE = (
    "origins",
    "log_level",
    "keep_alive_s",
    "max_loaded_models",
    "max_queue",
    "memory_share",
    "devices",
)

#: Seconds that answers may go on when the daemon ends; then they fail with an error of their own.
_GRACE_S = 5.0
#: Seconds for whatever else goes on then: a body that does not come, a client that does not read.
_STRAGGLERS_S = 1.0
#: Seconds for threads after that: a hub's client that waits for an answer cannot be interrupted.
_LAST_S = 1.0


def main(argv: list[str]) -> int:
    """Serve; return the exit code."""
    *unknown, _ = [word for word in argv[2:] if word != _NO_KEY] + [""]
    if unknown:
        print(  # noqa: T201
            f"error: serve takes no argument but {_NO_KEY}, not '{unknown[0]}'", file=sys.stderr
        )
        return 2
    paths = find_paths()
    try:
        settings = load_settings(paths.config_file)
        if _NO_KEY in argv[2:]:
            settings = replace(settings, insecure_no_key=True)
        name_proxy(settings.proxy, os.environ)
        logs.configure(settings.log_level)
        logging.getLogger().addHandler(_tail)
        logging.getLogger("aiohttp.server").addFilter(_in_one_line)
        paths.run.mkdir(parents=True, exist_ok=True)
        with only_daemon(paths):
            asyncio.run(_serve_and_end(paths.with_models(settings.models), settings))
    except OSError as error:
        print(f"error: cannot serve: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except CorralError as error:
        print(f"error: {error.message}", file=sys.stderr)  # noqa: T201 - the reader is a person
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


async def _serve(paths: Paths, settings: Settings) -> None:
    """Serve until a signal or ``/api/shutdown``."""
    ending = asyncio.Event()
    _on_signals(ending)
    allow_files(settings.max_connections)
    async with contextlib.AsyncExitStack() as stack:
        parts = await build(paths, settings, stack, logs=_tail, request_shutdown=ending.set)
        _check_door(settings, parts.keys)
        token = secrets.token_urlsafe(32)
        app = make_app(
            parts.needs,
            _access(settings, token, paths),
            Limits(settings.max_connections, settings.max_peer_connections),
        )
        _follow_changes(app, parts, settings, paths)
        gc.freeze()  # what there is now stays: not to be looked through for garbage again
        address = await stack.enter_async_context(listening(app, settings, grace_s=_STRAGGLERS_S))
        write_record(
            paths.daemon_file,
            DaemonRecord(os.getpid(), str(address.reachable), __version__, token),
        )
        stack.callback(paths.daemon_file.unlink, missing_ok=True)
        logger.info("serving %s", logs.pairs(address=address, version=__version__, pid=os.getpid()))
        _warn_of(settings, address)
        async with _preloading(parts.inference, settings.preload):
            await ending.wait()
        logger.info("shutting down")
        _tail.end()
        # Still listening: who comes now is told so, instead of finding nobody.
        await asyncio.gather(parts.pool.close(_GRACE_S), parts.jobs.close())


def _follow_changes(app: web.Application, parts: Parts, settings: Settings, paths: Paths) -> None:
    """Have what runs follow the settings that may change, and where the models are."""

    def follow(new: Settings) -> None:
        app[DOOR].access = replace(app[DOOR].access, origins=new.origins)
        logs.set_level(new.log_level)
        parts.pool.configure(pool_settings(_merged(settings, new), paths))

    def hide(folder: Path) -> None:
        """Let nobody but the owner read the name of another folder in an answer."""
        access = app[DOOR].access
        app[DOOR].access = replace(access, folders=(*access.folders, str(folder)))

    parts.live.when_changed(_AT_ONCE, follow)
    parts.folders.on_change = hide


async def _serve_and_end(paths: Paths, settings: Settings) -> None:
    """Serve; then the process ends, whatever its threads wait for: what is to be kept is kept."""
    async with kept_short(paths.daemon_log):
        await _serve(paths, settings)

    def leave() -> None:
        logger.info("left without waiting for a hub")
        logging.shutdown()
        os._exit(0)

    last = threading.Timer(_LAST_S, leave)
    last.daemon = True
    last.start()


@contextlib.asynccontextmanager
async def _preloading(inference: InferenceService, names: tuple[str, ...]) -> AsyncIterator[None]:
    """Load models beside whatever else goes on; what is not loaded at the end is left."""
    task = asyncio.create_task(_preload(inference, names))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _preload(inference: InferenceService, names: tuple[str, ...]) -> None:
    """Load models one after the other, to stay; one that cannot be is told of in the log."""
    for name in names:
        try:
            await inference.load(ModelName.parse(name), Options(), math.inf, None)
        except CorralError as error:
            logger.warning("not loaded at start model=%s: %s", name, error.message)


def _check_door(settings: Settings, keys: KeyService) -> None:
    """Do nothing when the door has a lock, or nobody but this machine stands before it.

    Raises:
        InvalidRequest: Other machines could reach a daemon that asks nobody for a key.
    """
    if settings.host.is_loopback or settings.insecure_no_key or keys.list_keys():
        return
    raise InvalidRequest(
        f"other machines can reach {settings.host}, and there is no API key yet",
        hint="make one while only this machine is served:"
        " CORRAL_HOST=127.0.0.1 corral keys add NAME; corral daemon stop\n"
        f"or let anybody in who reaches the address: corral serve {_NO_KEY}",
    )


def _warn_of(settings: Settings, address: Address) -> None:
    """Say in the log that the door stands open, where somebody wanted that."""
    if not settings.host.is_loopback and settings.insecure_no_key:
        logger.warning(
            "other machines can reach address=%s, and nobody needs a key to use it", address
        )


def _access(settings: Settings, token: str, paths: Paths) -> Access:
    """Return who may call."""
    folders = (paths.models, paths.config_file.parent, paths.run, paths.logs, paths.cache)
    return Access(
        owner_token=token,
        loopback_only=settings.host.is_loopback,
        origins=settings.origins,
        hostname=socket.gethostname(),
        needs_key=not settings.host.is_loopback and not settings.insecure_no_key,
        key_prefix=PREFIX,
        folders=tuple(str(folder) for folder in (*folders, paths.state, Path.home())),
    )


def _merged(started: Settings, new: Settings) -> Settings:
    """Return the settings that count now: what may change at once, on what it started with."""
    return replace(started, **{name: getattr(new, name) for name in _AT_ONCE})


def _in_one_line(record: logging.LogRecord) -> bool:
    """Log what was no HTTP in one line: it says nothing of us, and anybody can send it."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = "refused what is no HTTP: %s", (logs.one_line(error),)
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = None
    return True


def _on_signals(ending: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if ending.is_set():  # asked twice: somebody is in a hurry
            os._exit(130)
        ending.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows: Ctrl-C arrives as KeyboardInterrupt
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))

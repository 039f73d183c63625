"""``corral serve``: builds everything, serves until told to stop, and shuts down in order.

The composition root: what a part needs is handed to it here, and nowhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.http import HttpProcessingError

from runner import __version__, logs
from runner.client.launch import Kind, probe
from runner.config import DEFAULT_PORT, Address, Settings, load_settings
from runner.daemon.lockfile import DaemonRecord, only_daemon, write_record
from runner.errors import AddressInUse, CorralError
from runner.hub.places import hubs_and_sources
from runner.kv.shelf import Shelf
from runner.paths import Paths, find_paths, own_command
from runner.server.app import make_app, runner_for
from runner.server.needs import Needs
from runner.service.cache import CacheService
from runner.service.inference import InferenceService
from runner.service.models import ModelService
from runner.service.pull import PullService
from runner.service.requests import RequestService
from runner.service.search import SearchService
from runner.store.library import Library
from runner.workers.devices import memory_bytes, n_cores
from runner.workers.pool import Pool, PoolSettings

logger = logging.getLogger(__name__)

#: One worker's prompts that left the cache may take this share of main memory.
_HOST_TIER_SHARE = 32

#: Seconds that answers may go on when the daemon ends; then they fail with an error of their own.
_GRACE_S = 5.0
#: Seconds for whatever else goes on then: a body that does not come, a client that does not read.
_STRAGGLERS_S = 1.0


def main(argv: list[str]) -> int:
    """Serve; return the exit code."""
    if len(argv) > 2:
        print(f"error: serve takes no arguments, not '{argv[2]}'", file=sys.stderr)  # noqa: T201
        return 2
    paths = find_paths()
    try:
        settings = load_settings(paths.config_file)
        logs.configure(settings.log_level)
        logging.getLogger("aiohttp.server").addFilter(_in_one_line)
        paths.run.mkdir(parents=True, exist_ok=True)
        with only_daemon(paths):
            asyncio.run(_serve(paths, settings))
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
    library = Library(paths.models)
    shelf = Shelf(paths.kv)
    await asyncio.to_thread(_tidy, library, shelf)
    token = secrets.token_urlsafe(32)
    async with contextlib.AsyncExitStack() as stack:
        pool = Pool(_pool_settings(settings, paths))
        stack.push_async_callback(pool.close)
        hubs, sources = hubs_and_sources(
            order=settings.hub,
            folders=(paths.own_catalogue, paths.catalogue),
            memory_bytes=memory_bytes(),
        )
        pulls = PullService(library, sources)
        stack.push_async_callback(pulls.close)
        requests = RequestService()
        cache = CacheService(library, pool, shelf, n_disk_max=settings.kv_disk_bytes)
        needs = Needs(
            inference=InferenceService(
                library,
                pool,
                context_length=settings.context_length,
                memory_bytes=memory_bytes(),
                requests=requests,
                shares_cache=settings.share_cache,
                speculate=settings.speculate,
            ),
            models=ModelService(library, pool, cache),
            cache=cache,
            pulls=pulls,
            searches=SearchService(hubs, memory_bytes=memory_bytes()),
            requests=requests,
            version=__version__,
            request_shutdown=ending.set,
        )
        app = make_app(
            needs,
            owner_token=token,
            loopback_only=settings.host.is_loopback,
            origins=settings.origins,
        )
        address = await stack.enter_async_context(_listening(app, settings.host))
        record = DaemonRecord(os.getpid(), str(address.reachable), __version__, token)
        write_record(paths.daemon_file, record)
        stack.callback(paths.daemon_file.unlink, missing_ok=True)
        logger.info("serving %s", logs.pairs(address=address, version=__version__, pid=os.getpid()))
        if not settings.host.is_loopback:
            logger.warning(
                "other machines can reach address=%s, and nobody needs a key to use it", address
            )
        await ending.wait()
        logger.info("shutting down")
        # Still listening: who comes now is told so, instead of finding nobody.
        await asyncio.gather(pool.close(_GRACE_S), pulls.close())


@contextlib.asynccontextmanager
async def _listening(app: web.Application, address: Address) -> AsyncIterator[Address]:
    """Accept requests for a block; yields the address with the port that was bound.

    Raises:
        AddressInUse: Something else listens there.
    """
    runner = runner_for(app, grace_s=_STRAGGLERS_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host, address.port)
        try:
            await site.start()
        except (OSError, UnicodeError) as error:  # the latter of names that no resolver takes
            raise await _cannot_listen(address, error) from None
        port = runner.addresses[0][1] if runner.addresses else address.port
        yield Address(address.host, port)
    finally:
        await runner.cleanup()


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
    free = Address(address.host, address.port + 1 if address.port < 65535 else DEFAULT_PORT)
    hint = f"stop it, or use another address: CORRAL_HOST={free} corral serve"
    return AddressInUse(f"{address} is taken: {who} answers there", hint=hint)


def _pool_settings(settings: Settings, paths: Paths) -> PoolSettings:
    return PoolSettings(
        command=own_command("_worker", settings.log_level),
        keep_alive_s=settings.keep_alive_s,
        max_resident=settings.max_loaded_models,
        max_queue=settings.max_queue,
        n_seq_max=settings.num_parallel,
        n_threads=settings.num_thread or n_cores(),
        load_timeout_s=settings.load_timeout_s,
        n_host_bytes=memory_bytes() // _HOST_TIER_SHARE,
        kv_types=settings.kv_cache_type,
        flash_attention=settings.flash_attention,
        disk_folder=str(paths.kv),
        n_disk_bytes=settings.kv_disk_bytes,
    )


def _tidy(library: Library, shelf: Shelf) -> None:
    """Remove what interrupted imports and writers left; never a reason not to serve."""
    shelf.tidy()
    try:
        n_bytes = library.prune()
    except CorralError as error:
        logger.warning("the library was not tidied: %s", error.message)
        return
    if n_bytes:
        logger.info("tidied the library n_bytes=%d", n_bytes)


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

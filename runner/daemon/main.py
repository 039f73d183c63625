"""``corral serve``: builds everything, serves until told to stop, and shuts down in order.

The composition root: what a part needs is handed to it here, and nowhere else.
"""

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
from functools import partial
from pathlib import Path

from aiohttp import web
from aiohttp.http import HttpProcessingError

from runner import __version__, logs
from runner.config import Settings, find_setting, load_settings
from runner.daemon.listening import allow_files, listening
from runner.daemon.lockfile import DaemonRecord, only_daemon, write_record
from runner.daemon.log_file import kept_short
from runner.daemon.settings import LiveSettings
from runner.daemon.stored import stored
from runner.domain.address import Address
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.topic import Topic
from runner.errors import CorralError, InvalidRequest, StoreError
from runner.hub.places import hubs_and_sources
from runner.hub.proxied import name_proxy
from runner.hub.throttle import Throttle
from runner.paths import Paths, find_paths, own_command
from runner.server.access import Access
from runner.server.app import make_app
from runner.server.connections import Limits
from runner.server.making import Making
from runner.server.marks import DOOR
from runner.server.needs import Needs
from runner.service.blobs import BlobService
from runner.service.cache import CacheService
from runner.service.calibration import Calibration
from runner.service.create import CreateService
from runner.service.devices import DeviceList
from runner.service.downloads import Downloads
from runner.service.folder import FolderService
from runner.service.inference import InferenceService
from runner.service.jobs import JobService
from runner.service.keys import PREFIX, KeyService
from runner.service.last_use import LastUse
from runner.service.machine import MachineService
from runner.service.memory import MemoryService
from runner.service.models import ModelService
from runner.service.prompts import PromptService
from runner.service.pull import PullService
from runner.service.quality import QualityService
from runner.service.quantize import QuantizeService
from runner.service.remotes import RemoteService
from runner.service.requests import RequestService
from runner.service.run import TakeUp
from runner.service.search import SearchService
from runner.service.secret import SecretService
from runner.service.storage import StorageService
from runner.service.tools import Tools
from runner.service.wallet import Wallet
from runner.store.arrival import discard_arrival
from runner.store.library import Library
from runner.workers.devices import available_bytes, memory_bytes, n_cores
from runner.workers.graphics import built, usable, vendors
from runner.workers.inventory import take_inventory
from runner.workers.pool import Pool
from runner.workers.wanted import PoolSettings

logger = logging.getLogger(__name__)

#: One worker's prompts that left the cache may take this share of main memory.
_HOST_TIER_SHARE = 32

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
    library, shelf, table = await asyncio.to_thread(stored, paths)
    token = secrets.token_urlsafe(32)
    hub_tokens = await asyncio.to_thread(
        SecretService, paths.secrets_file, Wallet(paths.secrets_file.parent)
    )
    live = LiveSettings(paths.config_file, settings)
    allow_files(settings.max_connections)
    async with contextlib.AsyncExitStack() as stack:
        pool, remotes = await asyncio.to_thread(_pool, settings, paths)
        stack.push_async_callback(pool.close)
        hubs, sources = hubs_and_sources(
            order=settings.hub,
            folders=(paths.own_catalogue, paths.catalogue),
            memory_bytes=memory_bytes(),
            token=hub_tokens.get,
            is_offline=settings.offline,
        )
        requests = RequestService()
        cache = CacheService(library, pool, shelf, n_disk_max=settings.kv_disk_bytes)
        throttle = Throttle(settings.download_limit_bps)
        jobs = JobService(table, lambda key: discard_arrival(library.blobs.partial, key), throttle)
        stack.push_async_callback(jobs.close)
        downloads = Downloads(library, throttle, n_ranges=settings.download_ranges)
        pulls = PullService(library, sources, jobs, downloads, memory_bytes())
        tools, making, works = _making(library, jobs, settings)
        creates = CreateService(library, pulls, tools, jobs)
        folders = _folders(library, jobs, live, pool)
        await pulls.restore(*works, creates.work_of, folders.work_of)
        models = ModelService(library, pool, cache, await _last_use(paths, requests, stack))
        _tell(jobs, pool, requests, models, live)
        devices = DeviceList(
            partial(take_inventory, own_command("_devices")),
            remotes,
            lambda: live.in_force("devices"),
        )
        stack.push_async_callback(devices.close)
        keys = await _keys(paths, cache, stack)
        _check_door(settings, keys)
        inference = await asyncio.to_thread(
            _inference, settings, paths, library, pool, requests, devices
        )
        needs = Needs(
            inference=inference,
            prompts=PromptService(inference),
            blobs=BlobService(library),
            models=models,
            cache=cache,
            pulls=pulls,
            creates=creates,
            making=making,
            storage=StorageService(
                library,
                sources,
                jobs,
                downloads,
                in_use=lambda: {row.key for row in pool.resident()},
            ),
            folders=folders,
            searches=SearchService(hubs, memory_bytes=memory_bytes()),
            requests=requests,
            jobs=jobs,
            keys=keys,
            settings=live,
            secrets=hub_tokens,
            devices=remotes,
            machine=MachineService(pool, devices, lambda: _limits_in_force(live)),
            logs=_tail,
            version=__version__,
            request_shutdown=ending.set,
        )
        access = _access(settings, token, paths)
        app = make_app(
            needs, access, Limits(settings.max_connections, settings.max_peer_connections)
        )

        def follow(new: Settings) -> None:
            app[DOOR].access = replace(app[DOOR].access, origins=new.origins)
            logs.set_level(new.log_level)
            pool.configure(_pool_settings(_merged(settings, new), paths))

        folders.on_change = partial(_hide, app)
        live.when_changed(_AT_ONCE, follow)
        gc.freeze()  # what there is now stays: not to be looked through for garbage again
        address = await stack.enter_async_context(listening(app, settings, grace_s=_STRAGGLERS_S))
        write_record(
            paths.daemon_file,
            DaemonRecord(os.getpid(), str(address.reachable), __version__, token),
        )
        stack.callback(paths.daemon_file.unlink, missing_ok=True)
        logger.info("serving %s", logs.pairs(address=address, version=__version__, pid=os.getpid()))
        _warn_of(settings, address)
        async with _preloading(inference, settings.preload):
            await ending.wait()
        logger.info("shutting down")
        _tail.end()
        # Still listening: who comes now is told so, instead of finding nobody.
        await asyncio.gather(pool.close(_GRACE_S), jobs.close())


async def _keys(paths: Paths, cache: CacheService, stack: contextlib.AsyncExitStack) -> KeyService:
    """Return the keys of the API; what a revoked one's requests left in the cache goes with it."""
    keys = await asyncio.to_thread(
        KeyService, paths.keys_file, on_revoked=lambda key_id: cache.clear(owner_id=key_id)
    )
    stack.push_async_callback(keys.close)
    return keys


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


async def _last_use(
    paths: Paths, requests: RequestService, stack: contextlib.AsyncExitStack
) -> LastUse:
    """Return what knows when models were used; it learns of every request, and ends in order."""
    known = await asyncio.to_thread(LastUse, paths.state / "used.json")
    stack.push_async_callback(known.close)
    requests.on_used = known.note
    return known


def _tell(
    jobs: JobService,
    pool: Pool,
    requests: RequestService,
    models: ModelService,
    live: LiveSettings,
) -> None:
    """Have whoever watches told of every change."""
    tell = jobs.news.tell
    pool.on_loading = partial(tell, Topic.LOAD)
    pool.on_change = partial(tell, Topic.WORKER)
    requests.on_change = partial(tell, Topic.REQUEST)
    models.on_change = partial(tell, Topic.MODEL)
    live.on_change = partial(tell, Topic.SETTINGS)


def _folders(library: Library, jobs: JobService, live: LiveSettings, pool: Pool) -> FolderService:
    """Return what knows where the library is, and have the settings ask it."""
    fixed = find_setting("models", {}, os.environ)
    folders = FolderService(
        library,
        jobs,
        usual=find_paths().models,
        fixed_by=fixed.where if fixed else "",
        change=live.change,
        is_loading=lambda: bool(pool.loads()),
    )
    live.guard("models", folders.check)
    live.when_changed(("models",), lambda new: folders.place(new.models))
    return folders


def _hide(app: web.Application, folder: Path) -> None:
    """Let nobody but the owner read the name of another folder in an answer."""
    access = app[DOOR].access
    app[DOOR].access = replace(access, folders=(*access.folders, str(folder)))


def _inference(
    settings: Settings,
    paths: Paths,
    library: Library,
    pool: Pool,
    requests: RequestService,
    devices: DeviceList,
) -> InferenceService:
    """Return what answers, and what sizes models for it; reads what is known of this machine."""
    memory = MemoryService(
        library,
        pool,
        memory_bytes=memory_bytes(),
        available=available_bytes,
        calibration=Calibration(paths.state / "memory.json"),
        is_sure=lambda: not pool.settings.has_accelerator,
    )
    pool.on_measured = memory.learn
    return InferenceService(
        library,
        pool,
        context_length=settings.context_length,
        memory_bytes=memory_bytes(),
        requests=requests,
        shares_cache=settings.share_cache,
        speculate=settings.speculate,
        defaults=Options(**dict(settings.model_options)),
        memory=memory,
        pinned=settings.pin,
        devices=devices,
    )


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


def _making(
    library: Library, jobs: JobService, settings: Settings
) -> tuple[Tools, Making, tuple[TakeUp, ...]]:
    """Return what does long jobs on model files, and what takes up those of the last daemon."""
    tools = Tools(own_command("_tool", settings.log_level), settings.num_thread or n_cores())
    quantizes = QuantizeService(library, jobs, tools)
    quantizes.on_change = partial(jobs.news.tell, Topic.MODEL)
    measures = QualityService(library, jobs, tools)
    measures.on_change = quantizes.on_change
    try:
        measures.tidy()
    except StoreError as error:  # no reason not to serve
        logger.warning("reports were not tidied: %s", error.message)
    return tools, Making(quantizes, measures), (quantizes.work_of, measures.work_of)


def _merged(started: Settings, new: Settings) -> Settings:
    """The settings that the pool runs with: what may change at once, on what it started with."""
    return replace(
        started,
        keep_alive_s=new.keep_alive_s,
        max_loaded_models=new.max_loaded_models,
        max_queue=new.max_queue,
        memory_share=new.memory_share,
        devices=new.devices,
    )


def _limits_in_force(live: LiveSettings) -> tuple[tuple[str, int], ...]:
    names = ("max_loaded_models", "num_parallel", "max_queue", "max_connections")
    return tuple((name, int(live.in_force(name))) for name in names)


def _pool(settings: Settings, paths: Paths) -> tuple[Pool, RemoteService]:
    """Return the pool, and the devices of other machines that it uses."""
    remotes = RemoteService(paths.devices_file)
    pool = Pool(_pool_settings(settings, paths), available_bytes)
    pool.equip, pool.on_device_lost = remotes.equip, remotes.note_lost
    return pool, remotes


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
        n_memory_max=memory_bytes() * settings.memory_share // 100,
        devices=settings.devices,
        has_accelerator=bool(usable(vendors(), built())),
    )


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

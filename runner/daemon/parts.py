"""What the daemon is made of: the composition root.

What a part needs is handed to it here, and nowhere else.  Serving, and ending in order, is
``main.py``'s.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from runner import __version__
from runner.config import Settings, find_setting
from runner.daemon.settings import LiveSettings
from runner.daemon.stored import stored
from runner.domain.options import Options
from runner.domain.topic import Topic
from runner.errors import StoreError
from runner.hub.places import hubs_and_sources
from runner.hub.throttle import Throttle
from runner.logs import Tail
from runner.paths import Paths, find_paths, own_command
from runner.server.making import Making
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
from runner.service.keys import KeyService
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


@dataclass(frozen=True, slots=True)
class Parts:
    """What was built: all that the server needs, and what ``main.py`` itself speaks to."""

    needs: Needs
    pool: Pool
    jobs: JobService
    inference: InferenceService
    keys: KeyService
    folders: FolderService
    live: LiveSettings


async def build(
    paths: Paths,
    settings: Settings,
    stack: AsyncExitStack,
    *,
    logs: Tail,
    request_shutdown: Callable[[], None],
) -> Parts:
    """Build everything; ``stack`` ends in order what must be ended."""
    library, shelf, table = await asyncio.to_thread(stored, paths)
    hub_tokens = await asyncio.to_thread(
        SecretService, paths.secrets_file, Wallet(paths.secrets_file.parent)
    )
    live = LiveSettings(paths.config_file, settings)
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
        logs=logs,
        version=__version__,
        request_shutdown=request_shutdown,
    )
    return Parts(needs, pool, jobs, inference, keys, folders, live)


async def _keys(paths: Paths, cache: CacheService, stack: AsyncExitStack) -> KeyService:
    """Return the keys of the API; what a revoked one's requests left in the cache goes with it."""
    keys = await asyncio.to_thread(
        KeyService, paths.keys_file, on_revoked=lambda key_id: cache.clear(owner_id=key_id)
    )
    stack.push_async_callback(keys.close)
    return keys


async def _last_use(paths: Paths, requests: RequestService, stack: AsyncExitStack) -> LastUse:
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


def _limits_in_force(live: LiveSettings) -> tuple[tuple[str, int], ...]:
    names = ("max_loaded_models", "num_parallel", "max_queue", "max_connections")
    return tuple((name, int(live.in_force(name))) for name in names)


def _pool(settings: Settings, paths: Paths) -> tuple[Pool, RemoteService]:
    """Return the pool, and the devices of other machines that it uses."""
    remotes = RemoteService(paths.devices_file)
    pool = Pool(pool_settings(settings, paths), available_bytes)
    pool.equip, pool.on_device_lost = remotes.equip, remotes.note_lost
    return pool, remotes


def pool_settings(settings: Settings, paths: Paths) -> PoolSettings:
    """Return the limits and defaults of the pool."""
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

"""The hidden role ``_doctor``: looks at everything that Corral needs, without a daemon.

It prints a JSON array of checks and ends.  ``corral doctor`` starts it and shows what it says.
Each look stands alone: one that fails, or cannot be made, never keeps the others from being told.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, TimeoutError as NotInTime
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from runner.client.launch import Kind, probe
from runner.config import Settings, read_config, readable_settings
from runner.domain.address import Address
from runner.domain.check import Check, State
from runner.domain.machine import Device
from runner.domain.progress import Progress
from runner.domain.sizes import size_text
from runner.domain.storage import Verified
from runner.errors import CorralError, Offline, WorkerError
from runner.hub.places import hubs_and_sources
from runner.hub.repository import Hub
from runner.paths import Paths, find_paths, own_command
from runner.service.devices import DeviceList
from runner.service.remotes import RemoteService
from runner.store.audit import verify
from runner.store.library import Library
from runner.workers.devices import n_cores
from runner.workers.graphics import (
    build_command,
    build_needs,
    install_command,
    unused,
    vendors,
)
from runner.workers.inventory import Inventory, take_inventory

#: Seconds for the engine to say what it can compute on, and for a hub to answer.
_ENGINE_S, _HUB_S = 60.0, 15.0
#: Below these, in bytes, most models do not fit.
_LITTLE_MEMORY, _LITTLE_DISK = 2 << 30, 5 << 30


def main() -> int:
    """Print what was found; 0 whatever that is."""
    checks = list(examine(find_paths()))
    sys.stdout.write(json.dumps([asdict(check) for check in checks]) + "\n")
    sys.stdout.flush()
    return 0


def examine(paths: Paths) -> Iterator[Check]:
    """Yield what is found, one thing after the other; settings that cannot be read are left out."""
    settings, unreadable = _read_settings(paths.config_file)
    yield from unreadable
    paths = paths.with_models(settings.models)
    if not unreadable:
        there = "read" if paths.config_file.is_file() else "not there, so all is as it comes"
        yield Check("settings", State.OK, f"{paths.config_file} is {there}")
    looks: tuple[tuple[str, Callable[[Paths, Settings], Iterator[Check]]], ...] = (
        ("engine", _engine),
        ("memory", _memory),
        ("disk", judge_disk),
        ("daemon", _daemon),
        ("store", _store),
        ("hubs", _hubs),
    )
    for name, look in looks:
        try:
            yield from look(paths, settings)
        except CorralError as error:
            yield Check(name, State.FAIL, error.message, error.hint)
        except Exception as error:
            yield Check(name, State.FAIL, f"could not be looked at: {error}", "report this")


def _read_settings(config_file: Path) -> tuple[Settings, list[Check]]:
    """Return the settings as far as they can be understood, and what cannot."""
    stored: Mapping[str, Any] = {}
    found: list[Check] = []
    try:
        stored = read_config(config_file)
    except CorralError as error:
        found.append(Check("settings", State.FAIL, error.message, error.hint))
    settings, problems = readable_settings(stored, os.environ)
    for problem in problems:
        fix = f"set it right, or leave it out: {problem.hint}"
        found.append(Check("settings", State.FAIL, problem.message, fix))
    return settings, found


def _engine(paths: Paths, settings: Settings) -> Iterator[Check]:
    try:
        found, devices, problem = asyncio.run(_look_at_devices(paths, settings.devices))
    except WorkerError as error:
        fix = "install Corral's package again, or unpack the bundle once more"
        if not getattr(sys, "frozen", False):  # nothing can be built into a bundle
            fix = install_command()
        yield Check("engine", State.FAIL, error.message, fix)
        return
    yield Check("engine", State.OK, features(found.build))
    yield from judge_devices(devices, vendors())
    if problem:
        yield Check("devices", State.FAIL, problem.message, problem.hint)


def features(build: str) -> str:
    """Return llama.cpp's words for its build without those that say that each is there."""
    return build.replace(" = 1", "").replace(" | ", " ").replace(" : ", ": ").rstrip(" |")


async def _look_at_devices(
    paths: Paths, words: Sequence[str]
) -> tuple[Inventory, tuple[Device, ...], CorralError | None]:
    """Return what the engine says, and of it and of other machines what ``/api/machine`` says.

    The last is what every load would be refused for: the setting ``devices``, that is ``words``,
    names one that there is not.
    """
    found = await take_inventory(own_command("_devices"), _ENGINE_S)

    async def take() -> Inventory:
        return found

    known = DeviceList(take, RemoteService(paths.devices_file), lambda: words)
    problem = None
    try:
        await known.usable(None)
    except CorralError as error:
        problem = error
    memory = psutil.virtual_memory()
    return found, known.devices(memory.total, memory.available, ""), problem


def judge_devices(devices: Sequence[Device], cards: Sequence[str]) -> Iterator[Check]:
    """Yield what there is to compute on, and which of the machine's cards the engine cannot use."""
    for device in devices:
        if device.note:
            fix = "see to it, or forget it: corral devices rm"
            yield Check("devices", State.WARN, f"{device.id}: {device.note}", fix)
            continue
        free, total = device.n_available / 1e9, device.n_memory / 1e9
        message = f"{device.id}: {device.name}, {free:.1f} of {total:.1f} GB free"
        yield Check("devices", State.OK, message if device.is_used else f"{message}, not used")
    for vendor in unused(cards, {device.id for device in devices}):
        yield Check(
            "devices",
            State.WARN,
            f"this machine has a graphics card of {vendor}, which this build of the engine"
            " cannot use",
            f"install {build_needs(vendor)}, then: {build_command(vendor)}",
        )


def _memory(_paths: Paths, _settings: Settings) -> Iterator[Check]:
    memory = psutil.virtual_memory()
    message = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free, {n_cores()} cores"
    if memory.available < _LITTLE_MEMORY:
        fix = "close other programs, or take a small model: corral run smollm2"
        yield Check("memory", State.WARN, message, fix)
    else:
        yield Check("memory", State.OK, message)


def judge_disk(paths: Paths, _settings: Settings) -> Iterator[Check]:
    """Yield how much is free where the models are, or would be."""
    elsewhere = "put the models into a folder on a disk: corral folder, or CORRAL_MODELS"
    try:
        there = next(one for one in (paths.models, *paths.models.parents) if one.exists())
        n_all, _, n_free = shutil.disk_usage(there)
    except OSError as error:
        message = f"{paths.models} cannot be looked at: {error.strerror}"
        yield Check("disk", State.FAIL, message, elsewhere)
        return
    message = f"{size_text(n_free)} free for {paths.models}"
    if not n_all:  # the system's own folders are on no disk
        message = f"how much is free for {paths.models} cannot be measured"
        yield Check("disk", State.WARN, message, elsewhere)
    elif not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        message = f"{there} cannot be written to, so nothing can be kept in {paths.models}"
        yield Check("disk", State.FAIL, message, elsewhere)
    elif n_free < _LITTLE_DISK:
        fix = "make room (corral du, corral prune), or move the models: corral folder"
        yield Check("disk", State.WARN, message, fix)
    else:
        yield Check("disk", State.OK, message)


def _daemon(_paths: Paths, settings: Settings) -> Iterator[Check]:
    address = settings.host
    found = probe(address, timeout_s=3.0)
    match found.kind:
        case Kind.CORRAL if found.is_ours:
            yield Check("daemon", State.OK, f"it answers on {address}")
        case Kind.CORRAL:
            message = f"the daemon on {address} is Corral {found.version}, this is another version"
            yield Check("daemon", State.WARN, message, "corral daemon restart")
        case Kind.NOTHING:
            message = f"none answers on {address}; the port is free, and commands start one"
            yield Check("daemon", State.OK, message)
        case Kind.SILENT:
            message = f"a program takes connections on {address}, and says nothing"
            fix = f"if it is the daemon, see: corral daemon logs; if not, {_elsewhere(address)}"
            yield Check("daemon", State.FAIL, message, fix)
        case _:
            who = "Ollama" if found.kind is Kind.OLLAMA else "another program"
            message = f"{who} answers on {address}"
            yield Check("daemon", State.FAIL, message, _elsewhere(address))


def _elsewhere(address: Address) -> str:
    return f"end it, or use another port: CORRAL_HOST={address.next_one}"


def _store(paths: Paths, _settings: Settings) -> Iterator[Check]:
    library = Library(paths.models, must_exist=paths.models != find_paths().models)
    library.list()  # raises where a folder that was chosen is gone
    found = _result(verify(library, is_deep=False))
    for fault in found.faults:
        of = f"{fault.model}, file {fault.file}" if fault.file else fault.model
        yield Check("store", State.FAIL, f"{of}: {fault.reason}", fault.hint)
    if not found.faults:
        n = found.n_models
        models = "1 model, whole" if n == 1 else f"{n} models, all whole" if n else "no model yet"
        yield Check("store", State.OK, f"{models}, in {paths.models}")


def _result(moments: Generator[Progress, None, Verified]) -> Verified:
    while True:
        try:
            next(moments)
        except StopIteration as end:
            found: Verified = end.value
            return found


def _hubs(paths: Paths, settings: Settings) -> Iterator[Check]:
    folders = (paths.own_catalogue, paths.catalogue)
    hubs, _ = hubs_and_sources(
        order="auto", folders=folders, memory_bytes=0, is_offline=settings.offline
    )
    pool = ThreadPoolExecutor(len(hubs))
    asked = {name: pool.submit(_ask, hub) for name, hub in hubs.items()}
    for name, answer in asked.items():
        try:
            yield answer.result(timeout=_HUB_S)
        except NotInTime:
            message = f"{hubs[name].host} did not answer within {_HUB_S:g} seconds"
            yield Check("hubs", State.WARN, message, "look at the network, and at HTTPS_PROXY")
    pool.shutdown(wait=False, cancel_futures=True)


def _ask(hub: Hub) -> Check:
    try:
        hub.search("gguf", 1)
    except Offline as error:
        return Check("hubs", State.OK, error.message)
    except CorralError as error:
        fix = error.hint or "models that are here already work without it"
        return Check("hubs", State.WARN, error.message, fix)
    return Check("hubs", State.OK, f"{hub.host} answers")

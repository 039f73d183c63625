"""Loads a model on the devices it fits on; with fewer layers there, or none, when one runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from runner.domain.device_order import chosen_without
from runner.domain.loading import LoadStage
from runner.domain.placement import (
    Need,
    Place,
    fewer,
    first,
    in_order,
    need_of,
    spread,
    too_few,
)
from runner.engine.llama import library
from runner.engine.llama.backend import LlamaBackend
from runner.engine.llama.devices import Device, list_devices
from runner.engine.llama.identity import build
from runner.engine.llama.rpc import add_server
from runner.engine.remote import open_relay
from runner.errors import DeviceError, NotEnoughMemory, WorkerError
from runner.protocol.messages import Load, Placed, Remote
from runner.relay.caller import call

logger = logging.getLogger(__name__)

_ALL = 1 << 16  # more layers than any model has


@dataclass(frozen=True, slots=True)
class Resident:
    """A model in memory.

    Attributes:
        backend: The model.
        placed: What of it is on accelerators.
        draft_devices: Where a draft model goes, as ``ModelParams`` has it.
        note: Why less is there than was wanted; empty: nothing is amiss.
    """

    backend: LlamaBackend
    placed: tuple[Placed, ...] = ()
    draft_devices: tuple[tuple[int, int], ...] | None = None
    note: str = ""


def load_placed(
    load: Load,
    on_lost: Callable[[str], object],
    on_stage: Callable[[LoadStage, float], None] = lambda stage, share: None,
) -> Resident:
    """Load a model where it fits.

    Args:
        load: What to load, and how.
        on_lost: Called with a device's address when it is lost, on a thread of its own.
        on_stage: Called with each stage, and how far it is.

    Raises:
        CorralError: It cannot be loaded, not even into main memory; or a device was named that
            there is not.
    """
    library.start()
    notes = [f"{address} was lost, and is left out for a while" for address in load.lost]
    own = [_place(device) for device in list_devices()]
    others = [place for remote in load.remotes for place in _reach(remote, on_lost, notes)]
    gone = {remote.address for remote in load.remotes} | set(load.lost)
    gone -= {place.name for place in others}
    places = first(chosen_without([*own, *others], load.devices, gone), load.main_gpu)
    if not places and not (load.devices or any(place.kind != "cpu" for place in own)):
        return Resident(LlamaBackend(load, on_stage=on_stage), note="; ".join(notes))
    need = _need(load)
    counts = spread(places, need, load.n_gpu_layers, load.tensor_split)
    if load.n_gpu_layers < 0 and (note := too_few(counts, need, places)):
        notes.append(note)
    return _try(partial(LlamaBackend, load, on_stage=on_stage), places, counts, notes)


def _try(
    new: Callable[[tuple[tuple[int, int], ...]], LlamaBackend],
    places: list[Place],
    counts: list[int],
    notes: list[str],
) -> Resident:
    """Load, with ever fewer layers on the devices as long as that fails."""
    tries = [counts]
    for n in fewer(sum(counts)):
        tries.append(_cut(counts, n))
    for number, counts_now in enumerate(tries):
        used = in_order(places, counts_now)
        devices = tuple((place.handle, n) for place, n in used)
        library.take_buffers()
        try:
            backend = new(devices)
        except (WorkerError, NotEnoughMemory) as error:
            if number == len(tries) - 1:
                raise
            n, n_next = sum(counts_now), sum(tries[number + 1])
            logger.warning("%d layers on %s: %s", n, _named(places), error.message)
            logger.warning("trying with %d layers there", n_next)
            continue
        if number:
            notes.append(
                f"{sum(counts)} layers did not load on {_named(places)}, so {sum(counts_now)} are"
                " there, the rest is in main memory"
            )
        # A guess must be quick: it does not travel.
        local = [(place.handle, _ALL) for place, _ in used if not place.is_remote]
        return Resident(backend, _placed(used), tuple(local[:1]), "; ".join(notes))
    raise AssertionError("the last try returns or raises")


def _cut(counts: Sequence[int], n: int) -> list[int]:
    """``n`` layers in all, taken away from each in proportion."""
    total = sum(counts)
    cut = [count * n // total for count in counts]
    for i, count in enumerate(counts):
        cut[i] += min(count - cut[i], n - sum(cut))
    return cut


def _placed(used: Sequence[tuple[Place, int]]) -> tuple[Placed, ...]:
    taken = library.take_buffers()
    return tuple(Placed(place.name, n, taken.get(place.buffer, 0)) for place, n in used)


def _named(places: Sequence[Place]) -> str:
    return ", ".join(place.name for place in places)


def _place(device: Device) -> Place:
    return Place(
        device.name,
        device.kind,
        device.n_free,
        handle=device.handle,
        buffer=device.name,
        hardware_id=device.hardware_id,
    )


def _reach(remote: Remote, on_lost: Callable[[str], object], notes: list[str]) -> list[Place]:
    """Return the devices of another machine; none, and a note, when they cannot be had."""
    try:
        peer, told = call(remote.address, remote.key)
        if told.get("build") != build():
            peer.close()
            raise DeviceError(
                f"the device {remote.address} has another llama.cpp: {told.get('build')},"
                f" here is {build()}",
                hint="install the same version of Corral on both machines",
            )
        endpoint = open_relay(peer, remote.address, on_lost)
        handles = add_server(endpoint)
    except DeviceError as error:
        logger.warning("%s", error.message)
        notes.append(error.message)
        return []
    places = []
    for number, (handle, each) in enumerate(zip(handles, told["devices"], strict=True)):
        name = f"{remote.address}#{number}" if number else remote.address
        buffer = f"RPC{number}[{endpoint}]"
        n_free = int(each["n_free"])
        places.append(Place(name, "gpu", n_free, is_remote=True, handle=handle, buffer=buffer))
    return places


def _need(load: Load) -> Need:
    """What the model takes; one that nobody has an outline of is put there as a whole, or not."""
    if load.outline is None:
        return Need(1, 0, 0)
    return need_of(
        load.outline,
        n_cells=max(load.n_cells, load.n_ctx),
        kv_types=(load.kv_type_k, load.kv_type_v),
        n_batch=load.n_batch,
    )

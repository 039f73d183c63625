"""What can be computed on: this machine's devices and those of others, asked seldom."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from runner.domain.devices import SharedDevice
from runner.errors import DeviceError, InvalidRequest, WorkerError
from runner.service.devices import DeviceList
from runner.workers.inventory import EngineDevice, Inventory

GB = 10**9
CPU = EngineDevice("CPU", "a processor", "cpu", 64 * GB, 1 * GB)
CARD = EngineDevice("CUDA0", "a card", "gpu", 24 * GB, 20 * GB, "0000:01")
SAME = EngineDevice("Vulkan0", "the same card", "gpu", 24 * GB, 20 * GB, "0000:01")
SMALL = EngineDevice("Vulkan1", "part of the processor", "igpu", 8 * GB, 7 * GB, "0000:02")
FAR = "10.0.0.5:11435"
TOLD = {"name": "CUDA0", "description": "far", "kind": "gpu", "n_total": 9 * GB, "n_free": 8 * GB}


@dataclass
class Others:
    """Machines that share devices, by address; what is no list is raised."""

    told: dict = field(default_factory=dict)
    lost: set = field(default_factory=set)
    n_asked: int = 0

    def list_devices(self):
        return [SharedDevice(address, address in self.lost) for address in self.told]

    async def devices_of(self, address):
        self.n_asked += 1
        if isinstance(self.told[address], Exception):
            raise self.told[address]
        return self.told[address]


class World:
    """An engine with some devices, a clock, and what is known of both."""

    def __init__(self, *devices, words=(), others=None):
        self.devices, self.words, self.others = devices, words, others or Others()
        self.now_s, self.n_taken, self.error = 0.0, 0, None
        self.gate: asyncio.Event | None = None
        self.known = DeviceList(
            self.take, self.others, lambda: self.words, clock=lambda: self.now_s
        )

    async def take(self):
        self.n_taken += 1
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error
        return Inventory("llama.cpp", self.devices)

    def rows(self):
        return self.known.devices(16 * GB, 12 * GB, "some processor")

    def order(self):
        return [row.id for row in sorted(self.rows(), key=lambda r: r.order) if row.order]


def looked(*devices, **more):
    world = World(*devices, **more)
    asyncio.run(world.known.look())
    return world


def test_before_anything_was_asked_there_is_the_processor():
    (row,) = World().rows()
    assert (row.id, row.kind, row.name) == ("CPU", "cpu", "some processor")
    assert (row.n_memory, row.n_available, row.is_used, row.order) == (16 * GB, 12 * GB, True, 0)


def test_every_device_of_the_engine_is_told_with_its_memory():
    world = looked(CPU, CARD, SMALL)
    cpu, card, small = world.rows()
    assert (cpu.name, cpu.n_memory, cpu.n_available) == ("a processor", 16 * GB, 12 * GB)
    assert (card.id, card.kind, card.name) == ("CUDA0", "gpu", "a card")
    assert (card.n_memory, card.n_available) == (24 * GB, 20 * GB)
    assert (small.kind, small.is_used) == ("igpu", False), "cards of their own come before"


@pytest.mark.parametrize(
    ("words", "order"),
    [
        ((), ["CUDA0"]),  # Vulkan0 is the same card
        (("-CUDA0",), []),  # and that card is what was left out
        (("vulkan1", "cuda0"), ["Vulkan1", "CUDA0"]),
        ((FAR, "CUDA0"), [FAR, "CUDA0"]),
        (("cpu",), []),
        (("CUDA7",), []),  # there is none: whoever loads is told so
        (("CUDA0", "10.9.9.9:1"), ["CUDA0"]),
    ],
)
def test_which_are_used_and_in_which_order_is_as_for_a_load(words, order):
    world = looked(CPU, CARD, SAME, SMALL, words=words, others=Others({FAR: [TOLD]}))
    assert world.order() == order
    assert world.rows()[0].is_used, "the processor takes what is left"
    world.words = ("Vulkan1",)
    assert world.order() == ["Vulkan1"], "a setting that changes counts at once"


def test_another_machines_devices_are_told_by_address():
    world = looked(CPU, others=Others({FAR: [TOLD, TOLD | {"kind": "cpu"}]}))
    _, first, second = world.rows()
    assert (first.id, first.kind, first.name) == (FAR, "rpc", "far")
    assert (first.n_memory, first.n_available, first.is_used) == (9 * GB, 8 * GB, False)
    assert (second.id, second.kind) == (f"{FAR}#1", "rpc")
    world.others.lost.add(FAR)
    assert world.rows()[1].note == "it was lost a moment ago"


@pytest.mark.parametrize("told", [DeviceError("it refuses the key"), [{"name": "CUDA0"}], [{}]])
def test_one_that_cannot_be_had_is_told_with_the_reason(told):
    world = looked(CPU, CARD, words=(FAR,), others=Others({FAR: told}))
    assert world.rows()[-1].id == FAR
    assert world.rows()[-1].note
    assert not world.rows()[-1].is_used


def test_the_engine_is_asked_once_where_there_is_nothing_but_the_processor():
    async def story():
        world = World(CPU)
        await asyncio.gather(*(world.known.look() for _ in range(5)))
        world.now_s = 1e9
        await world.known.look()
        assert world.n_taken == 1

    asyncio.run(story())


def test_free_memory_of_cards_is_asked_again_after_a_minute_and_nobody_waits_for_it():
    async def story():
        world = World(CPU, CARD)
        await world.known.look()
        world.now_s = 59.0
        await world.known.look()
        assert world.n_taken == 1
        world.now_s, world.gate = 61.0, asyncio.Event()
        world.devices = (CPU, EngineDevice("CUDA0", "a card", "gpu", 24 * GB, 3 * GB))
        await world.known.look()
        assert world.rows()[1].n_available == 20 * GB
        world.gate.set()
        while world.rows()[1].n_available != 3 * GB:  # noqa: ASYNC110 - another task's turn
            await asyncio.sleep(0)
        assert world.n_taken == 2
        await world.known.close()

    asyncio.run(story())


def test_a_new_machine_is_asked_at_once():
    async def story():
        world = World(CPU)
        await world.known.look()
        world.others.told[FAR] = [TOLD]
        await world.known.look()
        assert [row.id for row in world.rows()] == ["CPU", FAR]
        await world.known.look()
        assert world.others.n_asked == 1

    asyncio.run(story())


def test_an_engine_that_does_not_start_leaves_the_processor_and_is_asked_again_later():
    async def story():
        world = World(CPU, CARD)
        world.error = WorkerError("llama.cpp does not start")
        await world.known.look()
        assert [row.id for row in world.rows()] == ["CPU"]
        world.error = None
        await world.known.look()
        assert world.n_taken == 1, "not for every question"
        world.now_s = 61.0
        await world.known.look()
        assert [row.id for row in world.rows()] == ["CPU", "CUDA0"]

    asyncio.run(story())


@pytest.mark.parametrize("words", [("CUDA7",), ("cuda0", "-CUDA7"), (FAR, "Cuda7")])
def test_a_name_that_no_device_has_is_refused_with_those_that_there_are(words):
    """Whether the machine of an address answers is found out when layers are put there."""
    world = World(CPU, CARD, SMALL)
    with pytest.raises(InvalidRequest, match=f"devices: .*'{words[-1].lstrip('-')}'") as refused:
        asyncio.run(world.known.check(words))
    assert refused.value.param == "devices"
    assert refused.value.hint == "there are: CPU, CUDA0, Vulkan1"


def test_a_setting_that_names_no_device_is_not_the_fault_of_who_asks():
    world = World(CPU, words=("CUDA7",))
    with pytest.raises(DeviceError, match="the setting devices: there is no device 'CUDA7'"):
        asyncio.run(world.known.check(None))
    asyncio.run(World(CPU).known.check(None))


@pytest.mark.parametrize("words", [(), ("cpu",), ("CPU", FAR), ("-cpu",)])
def test_the_engine_is_not_asked_about_what_is_there_anyway(words):
    world = World(CPU)
    asyncio.run(world.known.check(words))
    assert world.n_taken == 0


def test_names_are_let_through_where_the_engine_cannot_be_asked():
    world = World(CPU)
    world.error = WorkerError("llama.cpp does not start")
    asyncio.run(world.known.check(("CUDA7",)))
    assert world.n_taken == 1


def test_a_name_is_checked_without_waiting_for_other_machines():
    async def story():
        world = World(CPU, CARD, others=Others({FAR: [TOLD]}))
        never = asyncio.Event()

        async def silent(address):
            await never.wait()

        world.others.devices_of = silent
        await world.known.check(("CUDA0",))
        await world.known.close()

    asyncio.run(story())


def usable(world, words=None):
    found = asyncio.run(world.known.usable(words))
    return [(place.name, place.n_free) for place in found.places], found.notes


def test_layers_may_go_where_a_load_would_put_them():
    world = World(CPU, CARD, SAME, SMALL, others=Others({FAR: [TOLD, TOLD]}))
    assert usable(world) == ([("CUDA0", 20 * GB)], ())
    both = [(FAR, 8 * GB), (f"{FAR}#1", 8 * GB)]
    assert usable(world, (FAR, "cuda0")) == ([*both, ("CUDA0", 20 * GB)], ())
    assert usable(world, ("cpu",)) == ([], ())
    assert usable(world, ("-CUDA0",)) == ([], ())
    world.words = (FAR,)
    assert usable(world) == (both, ())


def test_a_machine_that_cannot_be_had_is_left_out_and_that_is_told():
    others = Others({FAR: [TOLD]}, lost={FAR})
    assert usable(World(CPU, CARD, others=others), (FAR,)) == (
        [],
        (f"{FAR} was lost, and is left out for a while",),
    )
    others = Others({FAR: DeviceError("it cannot be reached")})
    assert usable(World(CPU, CARD, others=others), (FAR, "CUDA0")) == (
        [("CUDA0", 20 * GB)],
        ("it cannot be reached",),
    )


def test_an_address_without_a_key_is_refused():
    with pytest.raises(InvalidRequest, match=f"no key for the device {FAR}"):
        usable(World(CPU), (FAR,))

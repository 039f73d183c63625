"""A worker that lost a device of another machine says which, and the pool hears of it."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from runner.errors import DeviceError
from runner.protocol.messages import Remote
from tests.workers.pieces import ask, open_pool, whole

ADDRESS = "10.0.0.5:11435"


def test_a_device_lost_mid_answer_is_named_to_the_client_and_to_the_pool(models):
    async def story():
        async with open_pool() as pool:
            lost = []
            pool.on_device_lost = lost.append
            wanted = models.wanted()
            with pytest.raises(DeviceError, match=f"the device {ADDRESS} was lost") as failed:
                async with pool.lease(wanted, None) as worker:
                    await whole(worker.generate(ask("lose")))
            assert failed.value.address == ADDRESS
            assert failed.value.hint
            assert lost == [ADDRESS]
            async with pool.lease(wanted, None) as worker:
                assert await whole(worker.generate(ask("say 1")))

    asyncio.run(story())


def test_a_device_lost_during_the_load_is_named_as_well(models):
    models.mark("a", "lose")

    async def story():
        async with open_pool() as pool:
            lost = []
            pool.on_device_lost = lost.append
            with pytest.raises(DeviceError, match=f"the device {ADDRESS} was lost"):
                async with pool.lease(models.wanted(), None):
                    pass
            assert lost == [ADDRESS]

    asyncio.run(story())


def test_each_load_is_equipped_anew(models):
    async def story():
        async with open_pool(devices=(ADDRESS,)) as pool:
            equipped = []

            def equip(load):
                equipped.append(load.devices)
                return replace(load, remotes=(Remote(ADDRESS, "key"),))

            pool.equip = equip
            async with pool.lease(models.wanted("a"), None):
                pass
            async with pool.lease(models.wanted("b", devices=("CUDA0",)), None):
                pass
            assert equipped == [(ADDRESS,), ("CUDA0",)]

    asyncio.run(story())

"""Changes are done to their end, also when their client leaves meanwhile."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.fakes.service import FakeModels


class SlowModels(FakeModels):
    """Deletes in two steps, and waits between them."""

    def __init__(self) -> None:
        super().__init__()
        self.has_begun, self.may_go, self.is_done = (asyncio.Event() for _ in range(3))
        self.was_cancelled = False

    async def delete(self, name):
        self.has_begun.set()
        try:
            await self.may_go.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        self.is_done.set()


@pytest.fixture
def slow(house):
    house.models = SlowModels()
    return house.models


async def begin(house, slow):
    """Have a model deleted; return the connection once that is under way."""
    _, writer = await asyncio.open_connection("127.0.0.1", house.port)
    body = b'{"model":"smollm2"}'
    head = f"DELETE /api/delete HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    async with asyncio.timeout(60):
        await slow.has_begun.wait()
    return writer


def test_a_model_is_deleted_whole_though_its_client_leaves(house, slow, caplog):
    caplog.set_level(logging.INFO, "runner.server.middleware")

    async def leave():
        async with house.serve(), asyncio.timeout(60):
            writer = await begin(house, slow)
            writer.close()
            while "status=499" not in caplog.text:  # noqa: ASYNC110 - the server has noticed
                await asyncio.sleep(0.005)
            assert not slow.was_cancelled
            slow.may_go.set()
            await slow.is_done.wait()

    asyncio.run(leave())


def test_the_server_stops_though_a_change_is_under_way(house, slow):
    async def stop():
        async with asyncio.timeout(60):
            async with house.serve():
                writer = await begin(house, slow)
            writer.close()
        assert slow.was_cancelled

    asyncio.run(stop())

"""A server for each test."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.server.serving import House


@pytest.fixture
def house():
    return House()


@pytest.fixture
def served(house):
    """The same house served from a thread of its own, for clients that block."""
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve():
        async with house.serve():
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield house
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()

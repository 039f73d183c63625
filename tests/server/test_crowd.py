"""Many at once: each hears something, none hangs, and nothing stays behind."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from runner.domain.event import TextDelta
from runner.errors import QueueFull
from tests.fakes.service import FINISHED, FakeInference
from tests.server.serving import call

CHAT = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}]}
PATHS = ("/api/chat", "/v1/chat/completions", "/v1/messages")


class Queue(FakeInference):
    """Answers four at a time; a hundred may wait."""

    def __init__(self, everybody_is_here):
        super().__init__()
        self._places = asyncio.Semaphore(4)
        self._n_inside = 0
        self._gate = everybody_is_here

    async def infer(self, request):
        if self._n_inside >= 104:
            raise QueueFull("100 requests are waiting already")
        self._n_inside += 1
        try:
            await self._gate.wait()
            async with self._places:
                yield TextDelta("Hello")
                await asyncio.sleep(0)
                yield FINISHED
        finally:
            self._n_inside -= 1


def test_five_hundred_at_once_are_answered_or_told_to_come_back(house):
    async def story():
        gate = asyncio.Event()
        house.inference = Queue(gate)
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            house.serve(),
            aiohttp.ClientSession(house.url, connector=connector) as session,
            asyncio.timeout(60),
        ):
            bodies = [CHAT | {"stream": n % 2 == 0, "max_tokens": 5} for n in range(500)]
            asking = [
                asyncio.ensure_future(call(session, "POST", PATHS[n % 3], body))
                for n, body in enumerate(bodies)
            ]
            for refused, task in enumerate(asyncio.as_completed(asking), start=1):
                await task
                if refused == 396:
                    gate.set()
            return await asyncio.gather(*asking)

    replies = asyncio.run(story())
    assert Counter(reply.status for reply in replies) == {200: 104, 503: 396}
    for n, reply in enumerate(replies):
        if reply.status == 503:
            assert reply.headers["Retry-After"] == "1"
            assert "waiting already" in json.dumps(reply.json)
        elif PATHS[n % 3] == "/api/chat":
            assert json.loads(reply.body.splitlines()[-1])["done"] is True


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_mixed_load_leaves_no_descriptor_behind(house):
    """Answers, errors, clients that leave early and ones that never ask."""

    async def story():
        async with house.serve() as session, asyncio.timeout(60):
            before = 0
            for turn in range(6):
                await asyncio.gather(*(one_of_each(session, house, n) for n in range(40)))
                for _ in range(200):
                    if turn and n_sockets() <= before:
                        break
                    await asyncio.sleep(0.01)
                if not turn:
                    before = n_sockets() + 2  # one more in the client's pool is no leak
                assert not turn or n_sockets() <= before

    asyncio.run(story())


async def one_of_each(session, house, n):
    match n % 4:
        case 0:
            await call(session, "POST", "/api/chat", CHAT)
        case 1:
            await call(session, "POST", "/v1/messages", raw=b"{")
        case 2:
            _, writer = await asyncio.open_connection("127.0.0.1", house.port)
            writer.close()
        case _:
            _, writer = await asyncio.open_connection("127.0.0.1", house.port)
            writer.write(
                b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
            )
            await writer.drain()
            writer.close()


def n_sockets():
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found += str(entry.readlink()).startswith("socket:")
        except OSError:
            continue
    return found

"""``/api/events``: all at first, then what changes, for each as far as they may see it."""

from __future__ import annotations

import asyncio
import json

import pytest

from runner.domain.topic import Topic
from tests.fakes.front import INFER_KEY, MANAGE_KEY
from tests.server.serving import OWNER, call


async def frame(response):
    """Kind, number and data of the next event."""
    lines = [(await response.content.readline()).decode().strip() for _ in range(4)]
    assert lines[3] == ""
    kind, number, data = (line.partition(": ")[2] for line in lines[:3])
    return kind, int(number), json.loads(data)


@pytest.mark.parametrize(
    ("topic", "path"),
    [
        (Topic.MODEL, "/api/tags"),
        (Topic.WORKER, "/api/ps"),
        (Topic.SETTINGS, "/api/settings"),
        (Topic.REQUEST, "/api/requests"),
    ],
)
def test_a_change_is_told_as_its_own_path_tells_it(house, topic, path):
    async def story():
        async with (
            house.serve() as session,
            session.get("/api/events", headers=OWNER) as response,
        ):
            kind, number, whole = await frame(response)
            assert (kind, number) == ("snapshot", 1)
            assert set(whole) == {"jobs", *Topic}
            house.jobs.news.tell(topic)
            kind, number, told = await frame(response)
            asked = (await call(session, "GET", path, headers=OWNER)).json
            assert (kind, number) == (topic.value, 2)
            if topic is not Topic.WORKER:  # which counts the seconds that are left
                assert told == asked == whole[topic.value]
            assert set(told) == set(asked)

    asyncio.run(story())


def test_who_may_not_read_the_settings_is_not_told_of_them(house):
    async def story():
        async with (
            house.serve() as session,
            session.get("/api/events", headers={"x-api-key": MANAGE_KEY}) as response,
        ):
            _, _, whole = await frame(response)
            assert "settings" not in whole
            house.jobs.news.tell(Topic.SETTINGS)
            house.jobs.news.tell(Topic.MODEL)
            kind, number, _ = await frame(response)
            assert (kind, number) == ("model", 2)
            refused = await call(session, "GET", "/api/events", headers={"x-api-key": INFER_KEY})
            assert refused.status == 403

    asyncio.run(story())


def test_a_topic_waits_once_for_a_reader(house):
    async def story():
        with house.jobs.news.watching() as changes:
            for _ in range(1000):
                house.jobs.news.tell(Topic.REQUEST)
                house.jobs.news.tell(Topic.WORKER)
            assert changes.qsize() == 2
            assert changes.get_nowait() is Topic.REQUEST
            house.jobs.news.tell(Topic.REQUEST)
            assert changes.qsize() == 2

    asyncio.run(story())

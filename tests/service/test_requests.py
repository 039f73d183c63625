"""Requests on their way: where they stand, their deadlines, and cancelling them."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from runner.domain.event import TextDelta
from runner.domain.request import Priority, Terms
from runner.domain.running import RequestState
from runner.errors import Cancelled, DeadlineExceeded, RequestNotFound
from runner.service.inference import InferenceService
from runner.service.requests import RequestService
from runner.workers.pool import Pool
from tests.service.test_inference import Place, chat
from tests.workers.pieces import SETTINGS, until


@asynccontextmanager
async def open_place(library, name, **settings):
    """A service, and the list of its requests."""
    pool = Pool(replace(SETTINGS, keep_alive_s=300.0, **settings))
    requests = RequestService()
    service = InferenceService(
        library, pool, context_length=0, memory_bytes=8 << 30, requests=requests
    )
    try:
        yield Place(service, pool, library, library.model_path(library.find(name))), requests
    finally:
        await pool.close()


def with_terms(request, **terms):
    return replace(request, terms=Terms(**terms))


def test_a_request_is_listed_until_it_ends(library, name):
    async def story():
        async with open_place(library, name) as (place, requests):
            assert await requests.list_requests() == []
            asked = with_terms(chat(name, "on"), priority=Priority.BATCH, client_id="me")
            began = time.time()
            events = place.service.infer(asked)
            await anext(events)  # it begins
            assert await anext(events) == TextDelta("1 ")
            (row,) = await requests.list_requests()
            assert (row.model, row.state, row.position) == (name, RequestState.GENERATING, 0)
            assert (row.priority, row.client_id) == (Priority.BATCH, "me")
            assert (row.n_prompt, row.n_cached) == (7, 3)
            assert row.n_generated >= 1
            assert began <= row.started_at <= time.time()
            assert 0 < row.seconds < time.time() - began + 1
            await events.aclose()
            assert await requests.list_requests() == []

    asyncio.run(story())


def test_those_that_wait_for_a_load_are_queued_in_order(library, name):
    async def story():
        async with open_place(library, name) as (place, requests):
            place.mark("wait")
            tasks = [asyncio.create_task(place.events(chat(name, "say 1"))) for _ in range(3)]
            await until(lambda: place.heard("load"))
            rows = await requests.list_requests()
            assert [(r.state, r.position) for r in rows] == [
                (RequestState.QUEUED, 1),
                (RequestState.QUEUED, 2),
                (RequestState.QUEUED, 3),
            ]
            assert len({r.id for r in rows}) == 3
            place.path.with_name(place.path.name + ".wait").unlink()
            await asyncio.gather(*tasks)

    asyncio.run(story())


def test_cancelling_a_running_answer_tells_its_client_and_frees_its_place(library, name):
    async def story():
        async with open_place(library, name) as (place, requests):
            events = place.service.infer(chat(name, "on"))
            await anext(events)
            (row,) = await requests.list_requests()
            requests.cancel(row.id)
            with pytest.raises(Cancelled, match="request canceled"):
                async for _ in events:
                    pass
            await until(lambda: place.heard("abort"))
            assert await requests.list_requests() == []
            assert (await place.events(chat(name, "say 1")))[-1].usage.n_generated == 1

    asyncio.run(story())


def test_cancelling_one_that_waits_for_its_model_ends_it_at_once(library, name):
    async def story():
        async with open_place(library, name) as (place, requests):
            place.mark("wait")
            leaving = asyncio.create_task(place.events(chat(name, "say 1")))
            staying = asyncio.create_task(place.events(chat(name, "say 1")))
            await until(lambda: place.heard("load"))
            rows = await requests.list_requests()
            requests.cancel(rows[0].id)
            with pytest.raises(Cancelled):
                await leaving
            assert len(await requests.list_requests()) == 1
            place.path.with_name(place.path.name + ".wait").unlink()
            assert len(await staying) == 2
            assert len(place.heard("load")) == 1

    asyncio.run(story())


def test_cancelling_again_at_any_moment_is_no_error_until_it_is_gone(library, name):
    """Two may want the same one gone; the second comes while it ends."""

    async def story():
        async with open_place(library, name) as (place, requests):
            place.mark("wait")
            leaving = asyncio.create_task(place.events(chat(name, "say 1")))
            await until(lambda: place.heard("load"))
            (row,) = await requests.list_requests()
            with pytest.raises(RequestNotFound):
                for _ in range(1000):
                    requests.cancel(row.id)
                    await asyncio.sleep(0)
            with pytest.raises(Cancelled):
                await leaving
            place.path.with_name(place.path.name + ".wait").unlink()

    asyncio.run(story())


def test_cancelling_what_is_not_there_is_an_error(library, name):
    async def story():
        async with open_place(library, name) as (place, requests):
            await place.events(chat(name, "say 1"))
            with pytest.raises(RequestNotFound, match="'1'"):
                requests.cancel("1")

    asyncio.run(story())


def test_a_deadline_ends_the_wait_for_a_model(library, name):
    async def story():
        async with open_place(library, name) as (place, _):
            place.mark("wait")
            with pytest.raises(
                DeadlineExceeded, match=r"while it waited .* [^()]* \(0.05 seconds\)$"
            ):
                await place.events(with_terms(chat(name, "say 1"), deadline_s=0.05))
            (row,) = place.pool.resident() or [None]
            assert row is None or not row.n_active
            place.path.with_name(place.path.name + ".wait").unlink()
            assert len(await place.events(chat(name, "say 1"))) == 2

    asyncio.run(story())


def test_a_deadline_ends_an_answer_on_its_way_and_says_how_long_it_was(library, name):
    async def story():
        async with open_place(library, name) as (place, _):
            await place.events(chat(name, "say 1"))
            texts = []
            with pytest.raises(DeadlineExceeded, match=r"\(1 seconds\)"):
                async for event in place.service.infer(
                    with_terms(chat(name, "on"), deadline_s=1.0)
                ):
                    texts.append(event)
            assert texts
            (row,) = place.pool.resident()
            assert row.n_active == 0

    asyncio.run(story())


def test_an_answer_in_time_is_whole(library, name):
    async def story():
        async with open_place(library, name) as (place, _):
            events = await place.events(with_terms(chat(name, "say 3"), deadline_s=600.0))
            assert len(events) == 4

    asyncio.run(story())


def test_the_time_until_it_is_sent_counts(library, name):
    async def story():
        async with open_place(library, name) as (_, requests):
            asked = with_terms(chat(name, "say 1"), deadline_s=10.0, client_id="me")
            with requests.entry(asked) as ongoing:
                ongoing.arrived_s -= 4.0
                left = ongoing.terms_left()
                assert 5.0 < left.deadline_s <= 6.0
                assert left.client_id == "me"
                ongoing.arrived_s -= 40.0
                assert ongoing.terms_left().deadline_s == 0.0

    asyncio.run(story())

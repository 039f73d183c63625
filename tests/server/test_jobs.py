"""``/api/jobs`` and ``/api/events`` as clients see them."""

from __future__ import annotations

import asyncio
import json

import pytest

from runner.domain.job import JobState
from runner.domain.name import ModelName
from runner.domain.progress import Progress
from tests.server.serving import call
from tests.workers.pieces import until


async def begin(house, *steps):
    """A job whose work is ``steps``, and which then waits to be stopped."""

    def work(run):
        yield from steps
        run.stop.wait(60)
        yield Progress("never told")

    return await house.jobs.begin("pull", "hf.co/a/b:c", work, is_attended=False)


def test_a_job_is_begun_and_answers_with_itself(house):
    reply = house.ask("POST", "/api/jobs", {"kind": "pull", "model": "qwen3", "limit": "5M"})
    assert (reply.status, reply.json["id"], reply.json["name"]) == (201, 7, "qwen3:latest")
    assert house.pulls.asked == [("apart", ModelName.parse("qwen3"), 5_000_000)]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/jobs", {"kind": "dance", "model": "x"}, "kind"),
        ("/api/jobs", {"model": "x", "limit": "fast"}, "limit"),
        ("/api/jobs", {"model": "x", "limit": []}, "limit"),
        ("/api/jobs", {}, "model"),
        ("/api/jobs/1/move", {"place": -1}, "place"),
        ("/api/jobs/1/move", {}, "place"),
        ("/api/jobs/1/limit", {"limit": "-1"}, "limit"),
        ("/api/jobs/one/pause", {}, "id"),
        ("/api/pull", {"model": "x", "limit": "fast"}, "limit"),
    ],
)
def test_what_is_wrong_with_a_call_is_named(house, path, body, field):
    reply = house.ask("POST", path, body)
    assert reply.status == 400
    assert field in reply.json["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/jobs/5"),
        ("DELETE", "/api/jobs/5"),
        ("POST", "/api/jobs/5/pause"),
        ("POST", "/api/jobs/5/resume"),
    ],
)
def test_a_job_that_is_not_is_not_found(house, method, path):
    reply = house.ask(method, path)
    assert reply.status == 404
    assert reply.json["code"] == "job_not_found"


def test_a_job_can_be_seen_steered_and_ended(house):
    async def story():
        async with house.serve() as session:
            step = Progress("pulling abc", 50, 200, "sha256:abc", source="hf.co")
            job = await begin(house, step)
            await until(lambda: house.jobs.get(job.job_id).n_done)
            (seen,) = (await call(session, "GET", "/api/jobs")).json["jobs"]
            told = {key: seen[key] for key in ("kind", "name", "state", "n_done", "n_bytes")}
            assert told == {
                "kind": "pull",
                "name": "hf.co/a/b:c",
                "state": "running",
                "n_done": 50,
                "n_bytes": 200,
            }
            assert (seen["source"], seen["error"], seen["finished"]) == ("hf.co", None, None)
            place = f"/api/jobs/{job.job_id}"
            limited = await call(session, "POST", f"{place}/limit", {"limit": "2k"})
            assert limited.json["limit_bps"] == 2000
            assert (await call(session, "POST", f"{place}/move", {"place": 0})).json["place"] == 0
            assert (await call(session, "POST", f"{place}/pause")).json["state"] == "paused"
            assert (await call(session, "POST", f"{place}/resume")).json["state"] == "running"
            ended = (await call(session, "DELETE", place)).json
            assert ended["state"] == "cancelled"
            assert ended["finished"]
            assert (await call(session, "POST", f"{place}/pause")).status == 400
            everything = await call(session, "POST", "/api/jobs/all/limit", {"limit": "1M"})
            assert everything.status == 200
        await house.jobs.close()

    asyncio.run(story())


def test_events_begin_with_all_jobs_and_go_on_with_changes(house):
    async def frame(response):
        lines = [(await response.content.readline()).decode().strip() for _ in range(4)]
        assert lines[3] == ""
        kind, number, data = (line.partition(": ")[2] for line in lines[:3])
        return kind, int(number), json.loads(data)

    async def story():
        async with house.serve() as session, session.get("/api/events") as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            kind, number, told = await frame(response)
            assert (kind, number, told["jobs"]) == ("snapshot", 1, [])
            job = await begin(house, Progress("pulling abc", 1, 2))
            numbers, states = [1], []
            while "cancelled" not in states:
                kind, number, told = await frame(response)
                assert (kind, told["id"]) == ("job", job.job_id)
                numbers.append(number)
                states.append(told["state"])
                if told["n_done"] and told["state"] == JobState.RUNNING:
                    await house.jobs.cancel(job.job_id)
            assert numbers == sorted(set(numbers))
            assert {"queued", "running"} <= set(states)
            await house.jobs.close()
            assert await response.content.read() == b""

    asyncio.run(story())


def test_who_watches_too_slowly_is_cut(house):
    async def story():
        with house.jobs.news.watching() as changes:
            job = await begin(house)
            for _ in range(300):
                house.jobs.limit(job.job_id, 1)
            seen = [changes.get_nowait() for _ in range(changes.qsize())]
            assert seen[-1] is None
            assert len(seen) < 300
        await house.jobs.close()

    asyncio.run(story())

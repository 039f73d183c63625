"""The door of the real daemon: a crowd, mixed load, and names that would lead elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from pathlib import Path

import aiohttp
import psutil
import pytest
from hypothesis import given, settings, strategies as st

from tests.real_daemon import RealDaemon, wait_for

pytestmark = pytest.mark.live

ASKED = {"model": "tiny", "prompt": "Hello", "raw": True, "options": {"num_predict": 2}}


def crowd(url, n_requests, **changed):
    """Ask ``n_requests`` at once; return how often each status came, and the bodies."""

    async def one(session, n):
        body = ASKED | {"stream": n % 2 == 0} | changed
        async with session.post("/api/generate", json=body) as response:
            return response.status, await response.read(), response.headers.get("Retry-After")

    async def story():
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=100)
        async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as session:
            return await asyncio.gather(*(one(session, n) for n in range(n_requests)))

    return asyncio.run(story())


def test_five_hundred_at_once_are_answered_or_told_to_come_back(tmp_path, tiny):
    limits = {"CORRAL_NUM_PARALLEL": "4", "CORRAL_MAX_QUEUE": "100"}
    with RealDaemon(tmp_path / "home", **limits) as daemon:
        daemon.take_in(tiny, "tiny")
        replies = crowd(daemon.url, 500)
        statuses = Counter(status for status, _, _ in replies)
        assert set(statuses) <= {200, 503}
        assert statuses[200] >= 104
        for status, body, wait in replies:
            last = json.loads(body.splitlines()[-1])
            if status == 200:
                assert last["done"] is True
            else:
                assert (last["code"], wait) == ("queue_full", "1")
        assert daemon.ask("GET", "/api/requests").json["requests"] == []


@pytest.mark.skipif(os.name == "nt", reason="no descriptors there")
def test_mixed_load_leaves_no_descriptor_behind(daemon):
    process = psutil.Process(daemon.pid)

    def load():
        crowd(daemon.url, 20)
        crowd(daemon.url, 5, model="nobody")
        for _ in range(5):
            with daemon.stream("/api/generate", ASKED | {"options": {}}) as answer:
                answer.line()
            daemon.ask("POST", "/v1/chat/completions", raw=b"{")

    load()
    wait_for(lambda: not daemon.ask("GET", "/api/requests").json["requests"], "the end")
    before = process.num_fds()
    for _ in range(3):
        load()
    wait_for(lambda: process.num_fds() <= before, "the descriptors to come back")


def everything_outside(home: Path) -> set[str]:
    return {str(path) for path in home.parent.rglob("*") if home not in (path, *path.parents)}


hostile = st.one_of(
    st.text(),
    st.lists(st.sampled_from(["..", ".", "/", "\\", "%2e%2e", "\0", "~", "a", ":", "@", "C:"]))
    .map("".join),
    st.sampled_from(["../../x", "/etc/passwd", "..\\..\\x", "a/../../b", "x:../y", "file:///x"]),
)  # fmt: skip


@settings(max_examples=40)
@given(name=hostile, path=st.sampled_from(["copy", "pull", "delete", "show", "load"]))
def test_no_name_reaches_a_path_outside_the_store(daemon, name, path):
    """Refused in words, or taken for a name like any other; never a file elsewhere, never a 500."""
    before = everything_outside(daemon.home)
    match path:
        case "copy":
            reply = daemon.ask("POST", "/api/copy", {"source": "tiny", "destination": name})
        case "delete":
            if name.lower().strip() in ("tiny", "smollm2", "tiny:latest", "smollm2:latest"):
                return
            reply = daemon.ask("DELETE", "/api/delete", {"model": name})
        case "load":
            reply = daemon.ask("POST", "/api/generate", {"model": name})
        case "pull":
            reply = daemon.ask("POST", "/api/pull", {"path": name or "x", "model": "x"})
            assert reply.status in (400, 403)
        case _:
            reply = daemon.ask("POST", "/api/show", {"model": name})
    assert reply.status in (200, 400, 403, 404), reply.body
    assert str(daemon.home).encode() not in reply.body
    assert everything_outside(daemon.home) == before
    for blob in (daemon.home / "models" / "manifests").rglob("*"):
        assert blob.resolve().is_relative_to(daemon.home.resolve())


def test_no_answer_tells_where_files_are(daemon):
    for method, path, body in (
        ("POST", "/api/show", {"model": "tiny", "verbose": True}),
        ("GET", "/api/tags", None),
        ("GET", "/api/ps", None),
        ("GET", "/api/machine", None),
        ("GET", "/api/cache", None),
        ("GET", "/metrics", None),
        ("GET", "/v1/models", None),
    ):
        reply = daemon.ask(method, path, body)
        assert reply.status == 200
        assert str(daemon.home).encode() not in reply.body

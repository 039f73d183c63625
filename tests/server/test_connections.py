"""Connections held to their limits, on raw sockets."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web

from runner.domain.event import TextDelta
from runner.server.connections import LEDGER, MAX_LINE, Ledger, LimitedRunner, Limits
from tests.fakes.service import FINISHED
from tests.server.serving import OWNER, call

GET = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHAT = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}]}


@asynccontextmanager
async def connected(house):
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def reply_of(reader):
    """Status and body of a reply with a length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    n_bytes = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(n_bytes)


def run(house, story, **limits):
    house.limits = Limits(**limits)

    async def served():
        async with house.serve() as session, asyncio.timeout(60):
            return await story(session)

    return asyncio.run(served())


@pytest.mark.parametrize("start", [b"", b"GET /api/version HTTP/1.1\r\nHost: loc"])
def test_a_head_that_does_not_come_is_not_waited_for(house, start):
    async def story(session):
        async with connected(house) as (reader, writer):
            writer.write(start)
            status, body = await reply_of(reader)
            assert status == 408
            assert "did not arrive" in json.loads(body)["error"]
            assert await reader.read() == b""

    run(house, story, head_s=0.05)


def test_a_second_head_on_the_same_connection_is_not_waited_for_either(house):
    async def story(session):
        async with connected(house) as (reader, writer):
            for _ in range(2):
                writer.write(GET)
                assert (await reply_of(reader))[0] == 200
            writer.write(GET[:20])
            assert (await reply_of(reader))[0] == 408

    run(house, story, head_s=0.3)


def test_an_idle_connection_is_closed_without_a_word(house):
    async def story(session):
        async with connected(house) as (reader, writer):
            writer.write(GET)
            assert (await reply_of(reader))[0] == 200
            assert await reader.read() == b""

    run(house, story, idle_s=0.05)


def test_an_answer_may_take_longer_than_a_head(house):
    gate = asyncio.Event()
    house.inference.script = (TextDelta("slow"), gate, FINISHED)

    async def story(session):
        async with session.post("/api/chat", json=CHAT) as response:
            await response.content.readline()
            async with connected(house) as (reader, _):  # its time is over before we go on
                assert (await reply_of(reader))[0] == 408
            gate.set()
            assert b'"done":true' in await response.read()

    run(house, story, head_s=0.05)


def test_a_body_that_stops_is_an_error_with_the_bytes_that_came(house):
    async def story(session):
        upload = "/api/blobs/sha256:" + "ab" * 32
        for path, told in (
            ("/api/chat", "error"),
            ("/v1/chat/completions", "error"),
            (upload, "error"),
        ):
            async with connected(house) as (reader, writer):
                writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n".encode())
                writer.write(b"Content-Length: 100\r\n\r\n{half")
                status, body = await reply_of(reader)
                assert status == 408
                assert b"after 5 bytes" in json.dumps(json.loads(body)[told]).encode()
                assert await reader.read() == b""
        assert house.inference.requests == []
        assert house.blobs.files == {}

    run(house, story, body_s=0.05, linger_s=0.05)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16", 404),
        ("POST /api/show HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 16", 403),
        ("POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999", 413),
    ],
)
def test_who_waits_to_be_asked_for_a_body_is_asked_when_it_will_be_read(house, head, status):
    async def story(session):
        async with connected(house) as (reader, writer):
            writer.write(f"{head}\r\nExpect: 100-continue\r\n\r\n".encode())
            if status == 404:
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(b'{"model":"nope"}')
            assert (await reply_of(reader))[0] == status

    run(house, story, linger_s=0.05)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost/api/version", 200),
        ("http://evil.example/api/version", 403),
        ("http://localhost@evil.example/api/version", 403),
    ],
)
def test_a_target_that_is_a_whole_address_names_this_machine(house, target, status):
    async def story(session):
        async with connected(house) as (reader, writer):
            writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert (await reply_of(reader))[0] == status

    run(house, story)


def test_an_expectation_nobody_knows_is_refused_in_our_form(house):
    reply = house.ask("POST", "/v1/completions", {"model": "x"}, headers={"Expect": "tea"})
    assert reply.status == 417
    assert "error" in reply.json


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * MAX_LINE + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (MAX_LINE + 1) + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
    ids=["line", "header", "headers"],
)
def test_a_head_that_is_too_large_is_431(house, head):
    async def story(session):
        async with connected(house) as (reader, writer):
            writer.write(head)
            status, body = await reply_of(reader)
            assert (status, json.loads(body)["code"]) == (431, "too_large")

    run(house, story)


def test_a_body_that_is_too_large_is_413_before_it_came(house):
    async def story(session):
        for length in (b"Content-Length: 99999999\r\n\r\n", b"Content-Length: 99999999\r\n\r\n{}"):
            async with connected(house) as (reader, writer):
                writer.write(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n" + length)
                status, body = await reply_of(reader)
                assert status == 413
                assert json.loads(body)["error"]["type"] == "request_too_large"

    run(house, story)


def test_who_does_not_read_a_stream_is_cut_and_the_answer_ends(house):
    house.inference.script = [TextDelta("x" * 65536)] * 4000

    async def story(session):
        async with connected(house) as (_, writer):
            body = json.dumps(CHAT).encode()
            head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
            writer.write(head.encode() + b"\r\n\r\n" + body)
            await house.inference.closed.wait()
        assert (await call(session, "GET", "/api/version")).status == 200

    run(house, story, write_s=0.1)


def test_one_connection_too_many_is_told_so_and_the_place_comes_back(house):
    async def story(session):
        async with connected(house) as (reader, writer):
            async with connected(house) as (second, writes):
                writes.write(GET)
                status, body = await reply_of(second)
                assert (status, json.loads(body)["code"]) == (503, "busy")
                assert "1 connections are open" in json.loads(body)["error"]
                assert await second.read() == b""
            writer.write(GET)
            assert (await reply_of(reader))[0] == 200
        for _ in range(100):
            reply = await call(session, "GET", "/api/version")
            if reply.status == 200:
                return
        pytest.fail("the place did not come back")

    run(house, story, n_most=1)


def test_a_flood_is_cut_without_a_word(house):
    async def story(session):
        open_ones = [await asyncio.open_connection("127.0.0.1", house.port) for _ in range(70)]
        reader, _ = open_ones[-1]
        assert await reader.read() == b""
        for _, writer in open_ones:
            writer.close()

    run(house, story, n_most=1)


def test_another_machine_has_a_limit_of_its_own():
    ledger = Ledger(Limits(n_most=10, n_most_of_peer=2))
    assert [ledger.enter("192.0.2.1") is None for _ in range(3)] == [True, True, False]
    assert ledger.enter("192.0.2.2") is None
    assert [ledger.enter(peer) is None for peer in ("127.0.0.1", "::1", "", "127.0.0.1")] == [
        True
    ] * 4
    ledger.leave("192.0.2.1")
    ledger.leave("192.0.2.1")
    assert ledger.enter("192.0.2.1") is None
    assert ledger.n_open == 7


def test_pictures_have_limits_that_their_heads_tell(house):
    import base64
    import struct

    def png(side):
        return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", side, side)

    def message(content):
        source = {"type": "base64", "media_type": "image/png"}
        source["data"] = base64.b64encode(content).decode()
        turn = {"role": "user", "content": [{"type": "image", "source": source}]}
        return {"model": "smollm2", "max_tokens": 1, "messages": [turn]}

    bomb = house.ask("POST", "/v1/messages", message(png(65535)), headers=OWNER)
    assert bomb.status == 413
    assert "65535 x 65535 pixels" in bomb.json["error"]["message"]
    junk = house.ask("POST", "/v1/messages", message(b"no picture"), headers=OWNER)
    assert junk.status == 400
    assert "no known format" in junk.json["error"]["message"]
    assert house.ask("POST", "/v1/messages", message(png(64)), headers=OWNER).status == 200
    assert len(house.inference.requests) == 1


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
def test_json_that_is_nested_too_deeply_is_refused(house, path):
    for deep in (b"[" * 100_000, b'{"messages":' + b"[" * 100_000, b'{"a":' * 100_000):
        reply = house.ask("POST", path, raw=deep)
        assert reply.status == 400
    schema = b'{"a":' * 5_000 + b"1" + b"}" * 5_000
    body = b'{"model":"smollm2","max_tokens":1,"messages":[],"format":' + schema + b"}"
    assert house.ask("POST", path, raw=body).status in (200, 400)


def test_an_answer_that_comes_as_the_daemons_end_stops_waiting_is_sent_and_no_fault(caplog):
    """It waits so long and no longer; the answer and the end of that wait may be one moment."""

    async def story():
        asked, may_answer = asyncio.Event(), asyncio.Event()

        async def slow(request):
            asked.set()
            await may_answer.wait()
            return web.Response(text="late")

        app = web.Application()
        app[LEDGER] = Ledger(Limits())
        app.router.add_get("/", slow)
        runner = LimitedRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asked.wait()
        (connection,) = runner.server.connections
        ending = asyncio.create_task(connection.shutdown(60))
        await asyncio.sleep(0)  # until it waits
        may_answer.set()
        connection._handler_waiter.cancel()  # what aiohttp's timer does to it
        assert await reply_of(reader) == (200, b"late")
        await ending
        writer.close()
        await runner.cleanup()

    async def in_time():
        async with asyncio.timeout(60):
            await story()

    asyncio.run(in_time())
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]

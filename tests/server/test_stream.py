"""Framing, errors on the way, and clients that leave; on a real socket."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from runner.domain.event import Finished, FinishReason, TextDelta, Timings, Usage
from runner.errors import (
    BadModelFile,
    Cancelled,
    DeadlineExceeded,
    DeviceError,
    ModelNotFound,
    NotEnoughMemory,
    QueueFull,
    SourceError,
    WorkerError,
)
from tests.fakes.service import FINISHED, HELLO
from tests.server.serving import OWNER, call

CHAT = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}]}
GENERATE = {"model": "smollm2", "prompt": "Hi"}
ROLE = {"role": "assistant", "content": None, "refusal": None}
COMPLETION = CHAT | {"stream": True}
STREAMS = [("/api/chat", CHAT), ("/api/generate", GENERATE), ("/v1/chat/completions", COMPLETION)]


def test_ndjson_is_one_object_a_line(house):
    reply = house.ask("POST", "/api/generate", GENERATE)
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    assert reply.body.count(b"\n") == 3
    first, _, last = reply.lines
    assert list(first) == ["model", "created_at", "response", "done"]
    assert last["response"] == ""
    assert last["context"] == [1, 2, 3]
    assert last["total_duration"] == 1_500_000_000


def test_an_answer_without_metrics_leaves_them_out(house):
    house.inference.script = (Finished(FinishReason.LENGTH, Usage(n_prompt=2), Timings()),)
    (last,) = house.ask("POST", "/api/chat", CHAT).lines
    assert set(last) == {
        "model", "created_at", "message", "done", "done_reason", "prompt_eval_count"
    }  # fmt: skip
    assert last["message"] == {"role": "assistant", "content": ""}
    assert last["done_reason"] == "length"


def test_sse_opens_with_the_role_and_ends_with_done(house):
    reply = house.ask("POST", "/v1/chat/completions", COMPLETION)
    assert reply.headers["Content-Type"] == "text/event-stream"
    deltas = [frame["choices"][0]["delta"] for frame in reply.frames]
    assert deltas == [ROLE, {"content": "Hel"}, {"content": "lo"}, {}]


def test_an_empty_answer_still_opens_with_the_role(house):
    house.inference.script = (FINISHED,)
    deltas = [
        frame["choices"][0]["delta"]
        for frame in house.ask("POST", "/v1/chat/completions", COMPLETION).frames
    ]
    assert deltas == [ROLE | {"content": ""}, {}]


@pytest.mark.parametrize(("path", "body"), STREAMS)
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ModelNotFound("x"), 404, "model_not_found"),
        (NotEnoughMemory("9 GB wanted, 4 GB free"), 503, "not_enough_memory"),
        (QueueFull("server busy (512 are waiting)"), 503, "queue_full"),
        (DeadlineExceeded("the deadline passed"), 504, "deadline_exceeded"),
        (Cancelled("request canceled"), 499, "cancelled"),
        (WorkerError("cannot load"), 500, "worker_failed"),
        (SourceError("hub says no"), 502, "source_failed"),
        (DeviceError("lost"), 502, "device_failed"),
        (RuntimeError("secret"), 500, "internal"),
    ],
)
def test_an_error_before_the_first_event_is_a_real_status(house, path, body, error, status, code):
    house.inference.script = (error,)
    reply = house.ask("POST", path, body)
    assert reply.status == status
    assert reply.headers["Content-Type"].startswith("application/json")
    told = reply.json["error"]
    assert (told["code"] if path.startswith("/v1") else reply.json["code"]) == code
    assert ("Retry-After" in reply.headers) == (status == 503)
    assert b"secret" not in reply.body


@pytest.mark.parametrize("error", [WorkerError("died", hint="again"), RuntimeError("secret")])
def test_an_error_on_the_way_is_the_last_thing_in_the_stream(house, error):
    house.inference.script = (HELLO[0], error)
    lines = house.ask("POST", "/api/chat", CHAT).lines
    assert isinstance(lines[-1]["error"], str)
    assert "error" not in lines[0]
    reply = house.ask("POST", "/v1/chat/completions", COMPLETION)
    assert reply.frames[-1]["error"]["type"] == "api_error"
    assert b"secret" not in reply.body


@pytest.mark.parametrize(("path", "body"), STREAMS)
def test_an_answer_that_just_stops_or_is_aborted_is_an_error(house, path, body):
    aborted = Finished(FinishReason.ABORTED, Usage(), Timings())
    for script in [(HELLO[0],), (HELLO[0], aborted)]:
        house.inference.script = script
        assert b"cut off" in house.ask("POST", path, body).body
        assert house.ask("POST", path, body | {"stream": False}).status == 500


@pytest.mark.parametrize(("path", "body"), STREAMS)
@pytest.mark.parametrize("streams", [True, False])
def test_a_client_that_leaves_ends_the_answer(house, path, body, streams):
    """The service's generator is closed, though it waits for an event that never comes."""

    async def leave():
        house.inference.script = (HELLO[0], asyncio.Event())
        async with house.serve():
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            text = json.dumps(body | {"stream": streams})
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(text)}\r\n\r\n"
            writer.write((head + text).encode())
            if streams:
                await reader.readuntil(b"Hel")
            else:
                await house.inference.asked.wait()
            writer.close()
            await asyncio.wait_for(house.inference.closed.wait(), 60)

    asyncio.run(leave())


def test_a_client_that_leaves_before_the_first_token_ends_the_answer(house):
    async def leave():
        house.inference.script = (asyncio.Event(),)
        async with house.serve() as session:
            asking = asyncio.create_task(call(session, "POST", "/api/chat", CHAT))
            await house.inference.asked.wait()
            asking.cancel()
            await asyncio.wait_for(house.inference.closed.wait(), 60)

    asyncio.run(leave())


def test_events_arrive_as_they_are_made(house):
    """The first token reaches the client while the second does not exist yet."""

    async def follow():
        gate = asyncio.Event()
        house.inference.script = (HELLO[0], gate, *HELLO[1:])
        async with house.serve() as session, session.post("/api/chat", json=CHAT) as response:
            line = await asyncio.wait_for(response.content.readline(), 60)
            assert json.loads(line)["message"]["content"] == "Hel"
            gate.set()
            assert len((await response.content.read()).splitlines()) == 2

    asyncio.run(follow())


def test_the_server_stops_though_an_answer_runs(house):
    async def stop():
        house.inference.script = (HELLO[0], asyncio.Event())
        async with house.serve() as session:
            response = await session.post("/api/chat", json=CHAT)
            await response.content.readline()
        response.close()
        assert house.inference.closed.is_set()

    asyncio.run(stop())


def test_a_pull_tells_its_moments(house):
    lines = house.ask("POST", "/api/pull", {"name": "smollm2"}).lines
    assert lines[0] == {"status": "pulling manifest"}
    assert lines[1].keys() == {"status", "digest", "total"}
    assert lines[2]["completed"] == 100
    assert lines[3] == {"status": "success", "name": "smollm2:latest"}
    whole = house.ask("POST", "/api/pull", {"model": "smollm2", "stream": False})
    assert whole.json == lines[3]


def test_a_pull_that_fails_on_its_way_says_so_last(house):
    house.pulls.script = (*house.pulls.script[:2], SourceError("the hub hung up"))
    assert house.ask("POST", "/api/pull", {"name": "x"}).lines[-1] == {
        "error": "the hub hung up",
        "code": "source_failed",
    }


def test_a_bad_file_is_the_requests_fault_or_the_hubs(house, tmp_path):
    house.pulls.script = (BadModelFile("no GGUF magic at offset 0"),)
    local = {"path": str(tmp_path / "x.gguf")}
    assert house.ask("POST", "/api/pull", local, headers=OWNER).status == 400
    assert house.ask("POST", "/api/pull", {"model": "x"}).status == 502


def test_one_line_is_logged_for_each_request_and_no_text(house, caplog):
    caplog.set_level(logging.INFO, "runner.server.middleware")
    house.inference.script = (TextDelta("very secret"), FINISHED)
    house.ask("POST", "/api/generate", {"model": "smollm2", "prompt": "also secret"})
    (line,) = [r.getMessage() for r in caplog.records if r.name == "runner.server.middleware"]
    assert "secret" not in line
    assert "method=POST path=/api/generate status=200 model=smollm2:latest" in line
    assert "n_prompt=11 n_cached=4 n_generated=3" in line


def test_a_client_that_left_is_logged_as_such(house, caplog):
    caplog.set_level(logging.INFO, "runner.server.middleware")

    async def leave():
        house.inference.script = (asyncio.Event(),)
        async with house.serve() as session:
            asking = asyncio.create_task(call(session, "POST", "/api/chat", CHAT))
            await house.inference.asked.wait()
            asking.cancel()
            await house.inference.closed.wait()

    asyncio.run(leave())
    (line,) = [r.getMessage() for r in caplog.records if r.name == "runner.server.middleware"]
    assert "status=499 model=smollm2:latest" in line
    assert not [record for record in caplog.records if record.exc_info]


def test_a_stream_that_failed_leaves_the_connection_usable(house):
    async def ask_twice():
        house.inference.script = (HELLO[0], WorkerError("died"))
        async with house.serve():
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            text = json.dumps(CHAT)
            head = "POST /api/chat HTTP/1.1\r\nHost: localhost\r\n"
            for _ in range(2):
                writer.write(f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode())
                answer = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 60)
                assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
                assert b'{"error":"died"' in answer
            writer.close()

    asyncio.run(ask_twice())


def test_an_old_client_gets_its_stream_without_chunks(house):
    async def ask():
        async with house.serve():
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
            text = json.dumps(CHAT)
            writer.write(
                f"POST /api/chat HTTP/1.0\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()
            )
            answer = await asyncio.wait_for(reader.read(), 60)
            writer.close()
            return answer.partition(b"\r\n\r\n")[2]

    lines = asyncio.run(ask()).splitlines()
    assert [json.loads(line)["done"] for line in lines] == [False, False, True]

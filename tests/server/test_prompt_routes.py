"""Completions, tokens, prompts and blobs over HTTP; and what a long wait sends."""

from __future__ import annotations

import asyncio
import json

import pytest

from runner.domain.event import Begun
from runner.errors import WorkerError
from runner.server import stream as stream_file
from tests.fakes.service import HELLO, FakeInference
from tests.server.serving import House, call

HI = [{"role": "user", "content": "Hi"}]
COUNTED = {"input_tokens": 2, "object": "response.input_tokens"}


def test_a_completion_answers_each_prompt_as_often_as_asked():
    body = {"model": "smollm2", "prompt": ["A", [66]], "echo": True}
    reply = House().ask("POST", "/v1/completions", body)
    assert [choice["text"] for choice in reply.json["choices"]] == ["AHello", "BHello"]
    streamed = House().ask("POST", "/v1/completions", body | {"stream": True})
    said = ["", ""]
    for frame in streamed.frames:
        said[frame["choices"][0]["index"]] += frame["choices"][0]["text"]
    assert said == ["AHello", "BHello"]


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/api/tokenize", {"text": "AB"}, {"model": "smollm2", "tokens": [65, 66], "count": 2}),
        ("/api/tokenize", {"content": ""}, {"model": "smollm2", "tokens": [], "count": 0}),
        ("/api/detokenize", {"tokens": [65]}, {"model": "smollm2", "text": "A"}),
        (
            "/api/render",
            {"messages": HI},
            {"model": "smollm2", "prompt": "Hi", "tokens": [72, 105], "count": 2, "num_ctx": 4096},
        ),
        (
            "/api/render",
            {"prompt": "A", "raw": True},
            {"model": "smollm2", "prompt": "A", "tokens": [65], "count": 1, "num_ctx": 4096},
        ),
        ("/v1/tokenize", {"prompt": "A"}, {"count": 1, "max_model_len": 4096, "tokens": [65]}),
        (
            "/v1/tokenize",
            {"messages": HI},
            {"count": 2, "max_model_len": 4096, "tokens": [72, 105]},
        ),
        ("/tokenize", {"content": "A"}, {"count": 1, "max_model_len": 4096, "tokens": [65]}),
        ("/v1/detokenize", {"tokens": [65, 66]}, {"prompt": "AB", "content": "AB"}),
        ("/detokenize", {"tokens": [65]}, {"prompt": "A", "content": "A"}),
        ("/v1/messages/count_tokens", {"messages": HI}, {"input_tokens": 2}),
        ("/v1/chat/completions/input_tokens", {"messages": HI}, COUNTED),
        ("/responses/input_tokens", {"input": "Hi"}, COUNTED),
        ("/apply-template", {"messages": HI}, {"prompt": "Hi"}),
    ],
)
def test_prompts_are_told_without_an_answer(path, body, answer):
    reply = House().ask("POST", path, {"model": "smollm2"} | body)
    assert (reply.status, reply.json) == (200, answer)
    assert House().ask("POST", path, {"model": "nobody"} | body).status == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/tokenize", {}),
        ("/api/tokenize", {"text": 5}),
        ("/api/detokenize", {}),
        ("/api/detokenize", {"tokens": [-1]}),
        ("/api/render", {"messages": 5}),
        ("/v1/tokenize", {}),
        ("/v1/tokenize", {"prompt": "a", "messages": HI}),
        ("/tokenize", {"content": "a", "messages": HI}),
        ("/v1/detokenize", {"tokens": "a"}),
        ("/v1/messages/count_tokens", {}),
    ],
)
def test_a_bad_field_is_a_400(path, body):
    assert House().ask("POST", path, {"model": "smollm2"} | body).status == 400


def test_ollamas_own_way_to_the_prompt_alone():
    body = {"model": "smollm2", "messages": HI, "_debug_render_only": True}
    told = House().ask("POST", "/api/chat", body).json
    assert told["_debug_info"] == {"rendered_template": "Hi", "image_count": 0}
    assert told["message"] == {"role": "assistant", "content": ""}


def test_a_blob_is_uploaded_and_asked_for():
    async def work():
        async with House().serve() as session:
            path = "/api/blobs/sha256:" + "0" * 64
            assert (await call(session, "HEAD", path)).status == 404
            assert (await call(session, "POST", path, raw=b"abc")).status == 201
            assert (await call(session, "POST", path, raw=b"abc")).status == 200
            assert (await call(session, "HEAD", path)).status == 200

    asyncio.run(work())


class _Waits(FakeInference):
    """Computes its prompt until the test has seen enough."""

    def __init__(self, *after) -> None:
        self.gate = asyncio.Event()
        super().__init__(script=(Begun(11, 4), self.gate, *after))


@pytest.mark.parametrize(
    ("path", "body", "ping"),
    [
        ("/v1/chat/completions", {"messages": HI}, b": ping\n\n"),
        ("/v1/completions", {"prompt": "A"}, b": ping\n\n"),
        (
            "/v1/messages",
            {"messages": HI, "max_tokens": 5},
            b'event: ping\ndata: {"type":"ping"}\n\n',
        ),
    ],
)
@pytest.mark.parametrize("after", [HELLO, (WorkerError("it died"),)], ids=["ends", "fails"])
def test_a_long_wait_is_not_silent(monkeypatch, path, body, ping, after):
    monkeypatch.setattr(stream_file, "PING_S", 0.01)

    async def work():
        inference = _Waits(*after)
        async with House(inference=inference).serve() as session:
            asked = json.dumps({"model": "smollm2", "stream": True} | body).encode()
            async with session.post(path, data=asked) as response:
                assert response.status == 200
                seen = b""
                while ping not in seen:
                    seen += await response.content.readany()
                inference.gate.set()
                return seen + await response.read()

    said = asyncio.run(work())
    if after is HELLO:
        assert b"Hel" in said
    else:
        assert b"it died" in said


def test_a_prompt_that_fails_soon_keeps_its_own_status():
    house = House(inference=FakeInference(script=(Begun(1, 0), WorkerError("it died"))))
    body = {"model": "smollm2", "messages": HI, "stream": True}
    assert house.ask("POST", "/v1/chat/completions", body).status == 500

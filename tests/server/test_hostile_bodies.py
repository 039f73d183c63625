"""Whatever a body holds, the answer is one of the dialect's own and never a server error."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from runner.dialects import (
    devices,
    jobs,
    keeping,
    ollama,
    ollama_create,
    ollama_embed,
    ollama_models,
    ollama_prompts,
    rerank,
    storage,
)
from runner.dialects.anthropic import messages
from runner.dialects.openai import chat, completions, embeddings, responses, tokens
from tests.server.serving import OWNER, House, call

BODIES = {
    "/api/generate": ollama.GenerateBody,
    "/api/chat": ollama.ChatBody,
    "/api/show": ollama_models.ShowBody,
    "/api/copy": ollama_models.CopyBody,
    "/api/tokenize": ollama_prompts.TokenizeBody,
    "/api/detokenize": ollama_prompts.DetokenizeBody,
    "/api/render": ollama.ChatBody,
    "/api/embed": ollama_embed.EmbedBody,
    "/api/embeddings": ollama_embed.EmbeddingsBody,
    "/api/pull": ollama_models.PullBody,
    "/api/create": ollama_create.CreateBody,
    "/api/unload": ollama.ModelBody,
    "/api/modelfile/check": ollama_create.CheckBody,
    "/api/jobs": jobs.JobBody,
    "/api/folder": storage.FolderBody,
    "/api/verify": storage.VerifyBody,
    "/api/repair": storage.RepairBody,
    "/api/prune": storage.PruneBody,
    "/api/devices": devices.DeviceBody,
    "/api/keys": keeping.KeyBody,
    "/v1/embeddings": embeddings.EmbeddingsBody,
    "/v1/rerank": rerank.RerankBody,
    "/v1/score": rerank.ScoreBody,
    "/v1/chat/completions": chat.ChatBody,
    "/v1/completions": completions.CompletionBody,
    "/v1/responses": responses.ResponsesBody,
    "/v1/tokenize": tokens.TokenizeBody,
    "/v1/detokenize": tokens.DetokenizeBody,
    "/tokenize": tokens.TokenizeBody,
    "/detokenize": tokens.DetokenizeBody,
    "/v1/messages": messages.MessagesBody,
    "/v1/messages/count_tokens": messages.CountBody,
}
TURN = {"role": "user", "content": "Hi"}
#: Makes a body that would be answered, so that one wrong field is what the call is about.
SOUND = {
    "model": "smollm2",
    "prompt": "Hi",
    "messages": [TURN],
    "input": "Hi",
    "text": "Hi",
    "tokens": [65],
    "max_tokens": 5,
    "stream": False,
    "from": "smollm2",
    "modelfile": "FROM smollm2",
    "query": "Hi",
    "documents": ["a", "b"],
    "text_1": "Hi",
    "text_2": "a",
    "address": "10.0.0.7:11435",
    "key": "corral-device",
    "source": "smollm2",
    "destination": "mine",
}
#: What may come without a body, or reads next to nothing of one.
LENIENT = {"/api/verify", "/api/prune", "/api/jobs", "/api/unload"}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, -(2**63) - 1, 10**400, 1e308, -0.0, "", "\ud800", "😀", "smollm2"])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "function", "name", "image_url", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def bodies(path):
    names = [field.encode_name for field in msgspec.structs.fields(BODIES[path])]
    sound = {name: value for name, value in SOUND.items() if name in names}
    if path.endswith("/tokenize") and path != "/api/tokenize":
        del sound["messages"]
    wrong = st.dictionaries(st.sampled_from(names), VALUES, min_size=1, max_size=3)
    return wrong.map(lambda fields: json.dumps(sound | fields).encode())


@pytest.mark.parametrize("path", BODIES)
@given(data=st.data())
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_wrong_fields_are_the_callers_fault(path, data):
    raws = data.draw(st.lists(bodies(path), min_size=8, max_size=8))

    async def work():
        async with House().serve() as session:
            return [
                (raw, await call(session, "POST", path, raw=raw, headers=OWNER)) for raw in raws
            ]

    for raw, reply in asyncio.run(work()):
        assert reply.status in (200, 201, 400, 404, 413), (raw, reply.status, reply.body)


BROKEN = {
    "nothing": b"",
    "not json": b"{",
    "not an object": b"[]",
    "a word": b"null",
    "not utf-8": b'{"model": "\xff"}',
    "half a pair": b'{"model": "\\ud800"}',
    "deep": b'{"model": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "deep in a field": b'{"model": "smollm2", "tools": ' + b"[" * 900 + b"]" * 900 + b"}",
    "NaN": b'{"model": "smollm2", "prompt": NaN}',
    "digits": b'{"model": ' + b"9" * 5000 + b"}",
    "zeroes": b"\0" * 100,
}


#: Of them, those that are JSON all the same.
SOUND_JSON = {"deep in a field", "digits", "half a pair"}


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data", "x"])
def test_broken_bodies_are_refused_everywhere(kind):
    async def work():
        async with House().serve() as session:
            return [
                (path, name, await call(session, "POST", path, raw=raw, headers=headers))
                for path in BODIES
                for name, raw in BROKEN.items()
                for headers in (OWNER | {"Content-Type": kind},)
                if path not in LENIENT
            ]

    for path, name, reply in asyncio.run(work()):
        if name in SOUND_JSON and reply.status in (200, 201):
            continue  # a call that does not read the field
        assert reply.status in (400, 404), (path, name, reply.status, reply.body)
        assert "error" in reply.json


def test_a_body_that_stops_halfway_harms_nobody():
    async def work():
        house = House()
        async with house.serve() as session:
            for path in BODIES:
                _, writer = await asyncio.open_connection("127.0.0.1", house.port)
                head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n"
                writer.write(head.encode() + b'{"model": "smol')
                await writer.drain()
                writer.close()
                await writer.wait_closed()
            return await call(session, "GET", "/health")

    assert asyncio.run(work()).status == 200

"""What a live daemon answers, held to the official clients' own types, field by field.

A field that a type has and no answer here is listed with its reason in ``docs/api/answers.md``, and
so is every one that is ours; whoever adds or drops one has to say so there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import ollama._types as ollama
import pytest
from anthropic.types import (
    Message,
    MessageTokensCount,
    ModelInfo as ClaudeModel,
    RawMessageStreamEvent,
)
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from tests.clients.official import Fields, events
from tests.fakes.models import tiny_model

pytestmark = pytest.mark.clients

_spec = importlib.util.spec_from_file_location(
    "answer_fields", Path(__file__).parents[2] / "packaging" / "answer_fields.py"
)
assert _spec is not None and _spec.loader is not None
answer_fields = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(answer_fields)

#: The template opens a thought, and nothing ends it: the model never stops thinking.
THINKS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)
HI = [{"role": "user", "content": "Say hi."}]
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 9}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"name": "weather", "parameters": CITY}
ONE_CALL = {"parallel_tool_calls": False, "temperature": 0}
STREAM = {"stream": True, "stream_options": {"include_usage": True}}

CHAT = {"model": "smollm2", "messages": HI, "max_tokens": 3}
CHATS = (
    CHAT | {"logprobs": True, "top_logprobs": 2, "n": 2},
    CHAT | ONE_CALL | {"model": "tools", "max_tokens": 100, "tool_choice": "required"}
    | {"tools": [{"type": "function", "function": WEATHER}]},
    CHAT | {"model": "tools", "max_tokens": 100, "temperature": 0, "functions": [WEATHER]}
    | {"function_call": {"name": "weather"}},
    CHAT | {"model": "thinks", "max_tokens": 12},
)  # fmt: skip
TEXT = {"model": "smollm2", "prompt": "One two", "max_tokens": 3, "logprobs": 2}
RESPONSE = {"model": "smollm2", "input": "Say hi.", "max_output_tokens": 16}
RESPONSES = (
    RESPONSE | {"instructions": "Be brief.", "metadata": {"a": "b"}, "user": "u", "top_p": 0.9}
    | {"temperature": 0.5, "top_logprobs": 2, "max_output_tokens": 3},
    RESPONSE | ONE_CALL | {"model": "tools", "max_output_tokens": 100, "tool_choice": "required"}
    | {"tools": [{"type": "function", "description": "d", "strict": True} | WEATHER]},
    RESPONSE | {"model": "thinks", "reasoning": {"effort": "low", "summary": "auto"}},
    RESPONSE | {"text": {"format": {"type": "json_schema", "name": "city", "schema": CITY}
    | {"strict": True, "description": "d"}}},
)  # fmt: skip
MESSAGE = {"model": "smollm2", "messages": HI, "max_tokens": 3}
MESSAGES = (
    MESSAGE | {"stop_sequences": ["e", "i", "a", "o"], "max_tokens": 50, "temperature": 0},
    MESSAGE | {"model": "tools", "max_tokens": 100}
    | {"tools": [{"name": "weather", "input_schema": CITY}]}
    | {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
    MESSAGE | {"model": "thinks", "max_tokens": 12, "thinking": {"type": "adaptive"}},
)  # fmt: skip
TOKENS = {"logprobs": True, "top_logprobs": 2, "options": {"num_predict": 3}}
WHOLE = {"stream": False}
NATIVE = (
    {"model": "smollm2", "messages": HI} | TOKENS,
    {"model": "thinks", "messages": HI, "think": True, "options": {"num_predict": 12}},
    {"model": "tools", "messages": HI, "tool_choice": "required"}
    | {"tools": [{"type": "function", "function": WEATHER}]}
    | {"options": {"num_predict": 100, "temperature": 0}},
)
GENERATES = (
    {"model": "smollm2", "prompt": "Hi"} | TOKENS,
    {"model": "thinks", "prompt": "Hi", "think": True, "options": {"num_predict": 12}},
)


STREAMED, CLAUDES = answer_fields.STREAMED, answer_fields.CLAUDES


@dataclass(frozen=True)
class Case:
    """A call, the type of its answer or of one piece of it, and bodies that show all of it."""

    call: str
    kind: Any
    bodies: tuple[Any, ...] = (None,)
    more: Mapping[str, Any] = field(default_factory=dict)


CASES = (
    Case("POST /api/generate", ollama.GenerateResponse, GENERATES),
    Case("POST /api/generate", ollama.GenerateResponse, GENERATES, WHOLE),
    Case("POST /api/chat", ollama.ChatResponse, NATIVE),
    Case("POST /api/chat", ollama.ChatResponse, NATIVE, WHOLE),
    Case("POST /api/embed", ollama.EmbedResponse, ({"model": "smollm2", "input": ["a", "b"]},)),
    Case("POST /api/embeddings", ollama.EmbeddingsResponse, ({"model": "smollm2", "prompt": "a"},)),
    Case("POST /api/show", ollama.ShowResponse, ({"model": "smollm2"},)),
    Case("GET /api/tags", ollama.ListResponse),
    Case("GET /api/ps", ollama.ProcessResponse),
    Case("POST /v1/chat/completions", ChatCompletion, CHATS),
    Case("POST /v1/chat/completions" + STREAMED, ChatCompletionChunk, CHATS, STREAM),
    Case("POST /v1/completions", Completion, (TEXT,)),
    Case("POST /v1/completions" + STREAMED, Completion, (TEXT,), STREAM),
    Case(
        "POST /v1/embeddings", CreateEmbeddingResponse, ({"model": "smollm2", "input": ["a", "b"]},)
    ),
    Case("POST /v1/responses", Response, RESPONSES),
    Case("POST /v1/responses" + STREAMED, ResponseStreamEvent, RESPONSES, {"stream": True}),
    Case("GET /v1/models/{name}", Model),
    Case("POST /v1/messages", Message, MESSAGES),
    Case("POST /v1/messages" + STREAMED, RawMessageStreamEvent, MESSAGES, {"stream": True}),
    Case("POST /v1/messages/count_tokens", MessageTokensCount, ({**MESSAGE, "max_tokens": None},)),
    Case("GET /v1/models/{name}" + CLAUDES, ClaudeModel),
)
#: Told when there is something to tell: tokens that were guessed, a part that was cached, what a
#: function belongs to.
SOMETIMES = {
    "usage.completion_tokens_details.accepted_prediction_tokens",
    "usage.completion_tokens_details.rejected_prediction_tokens",
    "prompt_eval_cached_count",
    "draft_count",
    "draft_accepted_count",
    "item.namespace",
    "output[].namespace",
    "response.output[].namespace",
}
#: What Ollama itself answers, by ``api/types.go``, and its Python client does not name; and what
#: OpenAI's own events and clients have that the newest types have not.
OF_THE_ORIGINAL = {
    "logprobs[].bytes",
    "logprobs[].top_logprobs[].bytes",
    "message.tool_calls[].id",
    "message.tool_calls[].function.index",
    "models[].capabilities",
    "models[].details.context_length",
    "models[].details.embedding_length",
    "models[].name",
    "details.context_length",
    "details.embedding_length",
    "name",
}


@pytest.fixture(scope="module")
def told(daemon, tmp_path_factory):
    """The daemon, with a model that thinks, and the starter in memory."""
    model = tiny_model(tmp_path_factory.mktemp("thinks") / "t.gguf", template=THINKS)
    daemon.take_in(model, "thinks")
    daemon.ask("POST", "/api/generate", {"model": "smollm2", "stream": False})
    yield daemon
    daemon.ask("DELETE", "/api/delete", {"model": "thinks"})


def asked(daemon, case: Case, body: Any) -> Iterator[bytes]:
    """The answer to one request, as the objects that it is made of."""
    method, path = case.call.partition(" (")[0].split(" ")
    headers = {"anthropic-version": "2023-06-01"} if case.call.endswith(CLAUDES) else {}
    raw = None if body is None else json.dumps({**body, **case.more})
    with contextlib.closing(HTTPConnection("127.0.0.1", daemon.port, timeout=60)) as connection:
        connection.request(method, path.replace("{name}", "smollm2"), raw, headers)
        response = connection.getresponse()
        answer = response.read()
    assert response.status == 200, answer
    match response.headers.get_content_type():
        case "text/event-stream":
            yield from (data for name, data in events(answer) if name != "ping")
        case "application/x-ndjson":
            yield from answer.splitlines()
        case _:
            yield answer


def as_told(case: Case, piece: bytes) -> bytes:
    """A piece of an answer, without what OpenAI itself does otherwise than its types say.

    A piece of a text that goes on has no reason to have ended.
    """
    if case.kind is not Completion:
        return piece
    told = json.loads(piece)
    for choice in told["choices"]:
        choice["finish_reason"] = choice["finish_reason"] or "stop"
    return json.dumps(told).encode()


@pytest.mark.parametrize(
    "call", [pytest.param(call, id=call) for call in dict.fromkeys(case.call for case in CASES)]
)
def test_answers_are_of_the_official_types_and_differ_only_as_the_page_says(told, call):
    found = Fields()
    for case in CASES:
        if case.call == call:
            for body in case.bodies:
                for piece in asked(told, case, body):
                    found.take(case.kind, as_told(case, piece))
    left_out = set(answer_fields.LEFT_OUT.get(call, {}))
    our_own = set(answer_fields.OUR_OWN.get(call, {}))
    assert (found.missing | found.null) - SOMETIMES == left_out
    assert found.more - SOMETIMES - OF_THE_ORIGINAL == our_own - SOMETIMES


def kinds(daemon, case: Case, body: Any) -> list[str]:
    return [json.loads(piece)["type"] for piece in asked(daemon, case, body)]


def test_a_stream_of_openai_tells_the_role_first_and_the_usage_last(told):
    case = Case("POST /v1/chat/completions", ChatCompletionChunk, more=STREAM)
    first, *_, end, usage = [json.loads(piece) for piece in asked(told, case, CHAT)]
    role = {"role": "assistant", "content": None, "refusal": None}
    assert first["choices"][0]["delta"] == role
    assert first["usage"] is None
    assert (end["choices"][0]["delta"], end["choices"][0]["finish_reason"]) == ({}, "length")
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 3


def test_a_stream_of_responses_counts_its_events(told):
    case = Case("POST /v1/responses", ResponseStreamEvent, more={"stream": True})
    pieces = [json.loads(piece) for piece in asked(told, case, RESPONSE)]
    assert [piece["sequence_number"] for piece in pieces] == list(range(len(pieces)))
    names = [piece["type"].removeprefix("response.") for piece in pieces]
    assert names[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert names[-4:-1] == ["output_text.done", "content_part.done", "output_item.done"]
    assert names[-1] in ("completed", "incomplete")


def test_a_stream_of_anthropic_opens_and_closes_each_block(told):
    case = Case("POST /v1/messages", RawMessageStreamEvent, more={"stream": True})
    thinking = MESSAGES[-1]
    names = kinds(told, case, thinking)
    assert names[:2] == ["message_start", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(names[2:-3]) == {"content_block_delta"}

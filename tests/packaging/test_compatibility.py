"""The page of fields is the one that the types make, and its notes speak of fields there are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import msgspec
import ollama._types as ollama
import pytest
from anthropic.types import (
    message_count_tokens_params as counts,
    message_create_params as messages,
)
from openai.types import (
    completion_create_params as completions,
    embedding_create_params as embeddings,
)
from openai.types.chat import completion_create_params as chat
from openai.types.responses import response_create_params as responses

ROOT = Path(__file__).parents[2]


def loaded(name: str):
    """A program of the folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "packaging" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


compatibility, answer_fields = loaded("compatibility"), loaded("answer_fields")


def typed(params) -> set[str]:
    """The fields of a dictionary's type, those of its bases too."""
    return {name for cls in params.__mro__ for name in getattr(cls, "__annotations__", {})}


@pytest.mark.parametrize("program", [compatibility, answer_fields])
def test_the_page_is_current(program):
    hint = f"run: python packaging/{program.__name__}.py"
    assert program.PAGE.read_text(encoding="utf-8") == program.page(), hint


def test_what_is_said_of_answers_is_about_calls_that_the_page_has():
    calls = {call for _, call, _ in answer_fields.ANSWERS}
    assert len(calls) == len(answer_fields.ANSWERS)
    assert answer_fields.LEFT_OUT.keys() | answer_fields.OUR_OWN.keys() <= calls


def test_every_note_is_about_a_field_that_is_read():
    read = {
        (call, field.encode_name)
        for _, call, body in compatibility.CALLS
        for field in msgspec.structs.fields(body)
    }
    assert set(compatibility.NOTES) <= read
    ignored = {(call, field) for call, fields in compatibility.IGNORED.items() for field in fields}
    assert not ignored & read
    assert {call for call, _ in ignored} <= {call for call, _ in read}


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        ("POST /v1/chat/completions", typed(chat.CompletionCreateParamsBase)),
        ("POST /v1/completions", typed(completions.CompletionCreateParamsBase)),
        ("POST /v1/embeddings", typed(embeddings.EmbeddingCreateParams)),
        ("POST /v1/responses", typed(responses.ResponseCreateParamsBase)),
        ("POST /v1/messages", typed(messages.MessageCreateParamsBase)),
        ("POST /v1/messages/count_tokens", typed(counts.MessageCountTokensParams)),
        ("POST /api/generate", set(ollama.GenerateRequest.model_fields)),
        ("POST /api/chat", set(ollama.ChatRequest.model_fields)),
        ("POST /api/embed", set(ollama.EmbedRequest.model_fields)),
        ("POST /api/embeddings", set(ollama.EmbeddingsRequest.model_fields)),
        ("POST /api/show", set(ollama.ShowRequest.model_fields)),
        ("POST /api/pull", set(ollama.PullRequest.model_fields)),
        ("POST /api/copy", set(ollama.CopyRequest.model_fields)),
        ("POST /api/create", set(ollama.CreateRequest.model_fields) - {"from_"}),
    ],
)
def test_every_field_that_the_official_clients_know_is_listed(call, fields):
    (body,) = [body for _, name, body in compatibility.CALLS if name == call]
    listed = {field.encode_name for field in msgspec.structs.fields(body)}
    assert fields
    assert fields - listed - compatibility.IGNORED.get(call, {}).keys() == set()

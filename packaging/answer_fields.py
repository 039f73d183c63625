"""Writes ``docs/api/answers.md``: which fields each call answers with, and where that differs.

The fields come from the types that ``/openapi.json`` is made of; what the original APIs have and
answers here have not, and the other way round, stands in tables with its reasons.  A place in an
answer is written as ``choices[].message.content``.  ``tests/clients/test_answer_fields.py`` holds
what a live daemon answers to these tables and to the official clients' types.  ``--check`` says
whether the page is current.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from runner.dialects import ollama, ollama_models, shapes
from runner.dialects.anthropic import shapes as claude
from runner.dialects.openai import models, shapes as openai

PAGE = Path(__file__).parents[1] / "docs" / "api" / "answers.md"

STREAMED = " (a piece of a stream)"
#: What Anthropic's clients send along; without it the call is OpenAI's.
CLAUDES = " (with the header anthropic-version)"

#: Each call, and the type that tells its fields.
ANSWERS: tuple[tuple[str, str, type[msgspec.Struct]], ...] = (
    ("Ollama", "POST /api/generate", ollama.Answer),
    ("Ollama", "POST /api/chat", ollama.Answer),
    ("Ollama", "POST /api/embed", shapes.EmbedShape),
    ("Ollama", "POST /api/embeddings", shapes.EmbeddingShape),
    ("Ollama", "POST /api/show", ollama_models.ShowAnswer),
    ("Ollama", "GET /api/tags", shapes.TagsShape),
    ("Ollama", "GET /api/ps", shapes.RunningShape),
    ("Ollama", "POST /api/pull", ollama_models.ProgressBody),
    ("OpenAI", "POST /v1/chat/completions", openai.ChatShape),
    ("OpenAI", "POST /v1/chat/completions" + STREAMED, openai.ChunkShape),
    ("OpenAI", "POST /v1/completions", openai.CompletionShape),
    ("OpenAI", "POST /v1/completions" + STREAMED, openai.CompletionShape),
    ("OpenAI", "POST /v1/embeddings", openai.EmbeddingsShape),
    ("OpenAI", "POST /v1/responses", openai.ResponseShape),
    ("OpenAI", "POST /v1/responses" + STREAMED, openai.ResponseEventShape),
    ("OpenAI", "GET /v1/models/{name}", models.ModelObject),
    ("Anthropic", "POST /v1/messages", claude.MessageShape),
    ("Anthropic", "POST /v1/messages" + STREAMED, claude.EventShape),
    ("Anthropic", "POST /v1/messages/count_tokens", claude.CountShape),
    ("Anthropic", "GET /v1/models/{name}" + CLAUDES, claude.ModelShape),
)


def _below(place: str, fields: Mapping[str, str]) -> dict[str, str]:
    return {f"{place}{field}": why for field, why in fields.items()}


_PICTURES = "no model here makes pictures"
_KINDS = "tokens are not told apart by kind"
_DETAILS = {
    "usage.completion_tokens_details.audio_tokens": _KINDS,
    "usage.completion_tokens_details.text_tokens": _KINDS,
    "usage.prompt_tokens_details.audio_tokens": _KINDS,
    "usage.prompt_tokens_details.cache_write_tokens": "no token costs more for being kept",
    "usage.prompt_tokens_details.image_tokens": _KINDS,
    "usage.prompt_tokens_details.text_tokens": _KINDS,
}
_JUDGED = {"moderation": "nobody judges what is said", "service_tier": "there is one"}
_REFUSED = "null: no model here has words of its own for a refusal"
_ITEM = {
    "async": "nothing runs beside an answer",
    "caller": "the model alone calls tools",
    "encrypted_content": "thoughts are plain text",
    "phase": "nobody tells remarks from answers",
}
_TOOL = {
    "allowed_callers": "the model alone calls tools",
    "async": "nothing runs beside an answer",
    "defer_loading": "all tools are told",
    "output_schema": "results are taken as they come",
}
_RESPONSE = {
    **_JUDGED,
    "access_programs": "there are no accounts",
    "conversation": "conversations are not kept",
    "error": "null: what fails before it begins has a status, and on its way `response.failed`",
    "image": "pictures are looked at as they are",
    "input_transformations": "nothing is taken out",
    "max_tool_calls": "it limits tools that run on OpenAI's servers",
    "previous_response_id": "null: responses are not kept",
    "prompt": "there are no stored prompts",
    "prompt_cache_diagnostics": "`usage` tells what the cache had",
    "prompt_cache_key": "what prompts have in common is found without it",
    "prompt_cache_options": "what prompts have in common is found without it",
    "prompt_cache_retention": "what prompts have in common is found without it",
    "reasoning.context": "thoughts of earlier turns are the template's to show",
    "reasoning.generate_summary": "its newer name is `summary`",
    "reasoning.mode": "there is one",
    "safety_identifier": "nobody counts by it",
    "text.verbosity": "no model here is told",
    "tool_usage": "no tools run here",
    "usage.input_tokens_details.cache_write_tokens_details": "no token costs more for being kept",
    **_below("output[].", _ITEM),
    **_below("tools[].", _TOOL),
}
_CLAUDE = {
    "container": "nothing runs on Anthropic's servers",
    "diagnostics": "nothing is kept",
    "stop_details": "nobody refuses for the model",
    "usage.cache_creation": "no token costs more for being kept",
    "usage.inference_geo": "it is this machine",
    "usage.server_tool_use": "no tools run here",
    "usage.service_tier": "there is one",
    "usage.speed": "there is one",
}
_BLOCK = {
    "caller": "the model alone calls tools",
    "citations": "documents are read as text",
    "toolset_name": "there are no sets of tools",
}
_NO_MANAGEMENT = "nothing is taken out of a conversation"
_NOT_EMBED = "of answers in words"

#: What the official types have and answers here have not, or only as null, and why.
LEFT_OUT: dict[str, dict[str, str]] = {
    "POST /api/generate": dict.fromkeys(("completed", "image", "total"), _PICTURES),
    "POST /api/chat": {
        "message.images": _PICTURES,
        "message.tool_name": "of results, which are sent",
    },
    "POST /api/embed": dict.fromkeys(
        (
            *("created_at", "done", "done_reason"),
            *("eval_count", "eval_duration", "prompt_eval_duration"),
        ),
        _NOT_EMBED,
    ),
    "POST /v1/chat/completions": {
        **_DETAILS,
        **_JUDGED,
        "choices[].logprobs.refusal": _REFUSED,
        "choices[].message.annotations": "no model here searches the web",
        "choices[].message.audio": "no model here speaks",
        "choices[].message.refusal": _REFUSED,
        "metadata": "it is for what is kept",
    },
    "POST /v1/chat/completions" + STREAMED: {
        **_DETAILS,
        **_JUDGED,
        "choices[].delta.audio": "no model here speaks",
        "choices[].delta.refusal": _REFUSED,
        "choices[].logprobs.refusal": _REFUSED,
        "obfuscation": "the lengths of pieces are no secret on this machine",
    },
    "POST /v1/completions": _DETAILS,
    "POST /v1/completions" + STREAMED: _DETAILS,
    "POST /v1/responses": _RESPONSE,
    "POST /v1/responses" + STREAMED: {
        **_below("response.", _RESPONSE),
        **_below("item.", _ITEM),
        "status": "thoughts are whole when they are told to be",
    },
    "GET /v1/models/{name}": {"shutdown_date": "nobody takes a model away but you"},
    "POST /v1/messages": {**_CLAUDE, **_below("content[].", _BLOCK)},
    "POST /v1/messages" + STREAMED: {
        **_below("message.", _CLAUDE),
        **_below("content_block.", _BLOCK),
        "delta.container": "nothing runs on Anthropic's servers",
        "delta.stop_details": "nobody refuses for the model",
        "message.stop_reason": "null: `message_delta` tells it",
        "message.stop_sequence": "null: `message_delta` tells it",
        "usage.server_tool_use": "no tools run here",
    },
    "GET /v1/models/{name}" + CLAUDES: {
        "capabilities.context_management.clear_thinking_20251015": _NO_MANAGEMENT,
        "capabilities.context_management.clear_tool_uses_20250919": _NO_MANAGEMENT,
        "capabilities.context_management.compact_20260112": _NO_MANAGEMENT,
        "deprecated_at": "nobody takes a model away but you",
        "line": "it is of none of Anthropic's",
        "retires_at": "nobody takes a model away but you",
    },
}
_THOUGHTS = "thoughts, under both names in use"
_ABOUT = {"parameter_count": "the exact number of weights"}
#: What answers here have beyond that, and what it is.
OUR_OWN: dict[str, dict[str, str]] = {
    "POST /api/generate": {
        "prompt_eval_cached_count": "tokens of the prompt that the cache had",
    },
    "POST /api/chat": {
        "prompt_eval_cached_count": "tokens of the prompt that the cache had",
    },
    "POST /api/show": {
        **_below("details.", _ABOUT),
        "provenance": "where each file came from",
    },
    "GET /api/tags": {
        **_below("models[].details.", _ABOUT),
        "models[].last_used_at": "when it was last asked something",
    },
    "GET /api/ps": {
        **_below("models[].details.", _ABOUT),
        "models[].devices": "what computes its layers",
        "models[].load_seconds": "how long its load took",
        "models[].n_active": "requests that it answers",
        "models[].n_steps": "steps since it was loaded",
        "models[].n_tokens": "tokens since it was loaded",
        "models[].needed": "bytes that it was estimated to need",
        "models[].note": "why it has less than was asked for",
        "models[].pid": "its process",
        "models[].pinned": "it stays until it is told to go",
    },
    "POST /api/pull": {"name": "the model as it is called here"},
    "POST /v1/chat/completions": {
        "choices[].message.reasoning": _THOUGHTS,
        "choices[].message.reasoning_content": _THOUGHTS,
    },
    "POST /v1/chat/completions" + STREAMED: {
        "choices[].delta.reasoning": _THOUGHTS,
        "choices[].delta.reasoning_content": _THOUGHTS,
    },
    "POST /v1/responses": {"store": "false: nothing is kept"},
    "POST /v1/responses" + STREAMED: {"response.store": "false: nothing is kept"},
}

_HEAD = """# Which fields are answered

Written by `packaging/answer_fields.py` from the types of answers. A test holds what a live daemon
answers to the types of the official clients, strictly, and to the tables below. What a request asks
for beyond the usual (`cache_report`, `timings_per_token`) is told in fields of the same name;
[errors](../reference/api.md) have a `code` and a `hint` of our own. Which fields are read is
[another page](compatibility.md).
"""


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    dialect = ""
    for name, call, shape in ANSWERS:
        if name != dialect:
            parts.append(f"## {name}\n")
            dialect = name
        fields = ", ".join(f"`{one.encode_name}`" for one in msgspec.structs.fields(shape))
        parts.append(f"### {_heading(call)}\n\n{fields}\n")
        rows = [f"| `{place}` | our own: {what} |" for place, what in _of(OUR_OWN, call)]
        rows += [f"| `{place}` | {_absence(why)} |" for place, why in _of(LEFT_OUT, call)]
        if rows:
            parts.append("\n".join(["| field | |", "|---|---|", *rows, ""]))
    return "\n".join(parts)


def _heading(call: str) -> str:
    path, _, how = call.partition(" (")
    return f"`{path}`" + (f" ({how}" if how else "")


def _absence(why: str) -> str:
    return why if why.startswith("null") else f"left out: {why}"


def _of(table: Mapping[str, Mapping[str, str]], call: str) -> list[tuple[str, str]]:
    return sorted(table.get(call, {}).items())


def main(argv: list[str]) -> int:
    """Write the page, or compare; returns 1 when it is not current."""
    if argv[1:] == ["--check"]:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

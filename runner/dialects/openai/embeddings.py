"""``POST /v1/embeddings``; beyond OpenAI: ``pooling``, ``truncate`` and ``keep_alive``.

An input that is too long is an error, as OpenAI has it, unless ``truncate`` is true.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from runner.dialects import wire
from runner.dialects.fields import parse_keep_alive
from runner.dialects.terms import parse_terms
from runner.dialects.vectors import base64_texts, numbers, parse_dimensions, parse_inputs
from runner.domain.name import ModelName
from runner.domain.options import parse_options
from runner.domain.request import EmbedRequest
from runner.domain.vectors import Embeddings
from runner.errors import InvalidRequest


class EmbeddingsBody(msgspec.Struct):
    """The body."""

    model: str
    input: Any = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    truncate: bool | None = None
    pooling: Literal["mean", "cls", "last", "none"] | None = None
    keep_alive: Any = None
    num_ctx: int | None = None
    priority: str | None = None
    deadline_s: float | None = None


_body = msgspec.json.Decoder(EmbeddingsBody)


@dataclass(frozen=True, slots=True)
class EmbedCall:
    """What one call asks for; ``model`` as the caller wrote it."""

    request: EmbedRequest
    model: str
    is_base64: bool


def parse(body: bytes) -> EmbedCall:
    """Return the call that a body makes.

    Raises:
        RequestError: A field is missing, mistyped or out of range; ``param`` names it.
    """
    asked = wire.decode(body, _body)
    if not asked.model:
        raise InvalidRequest("model is required", param="model")
    if asked.input is None:
        raise InvalidRequest("'input' is required", param="input")
    inputs = parse_inputs(asked.input)
    if not inputs or "" in inputs:
        raise InvalidRequest(
            "input must not be empty", hint="leave empty strings out", param="input"
        )
    is_base64 = asked.encoding_format == "base64"
    if is_base64 and asked.pooling == "none":
        raise InvalidRequest(
            "a vector for each token has no form in base64",
            hint="ask for encoding_format float",
            param="encoding_format",
        )
    request = EmbedRequest(
        model=ModelName.parse(asked.model),
        inputs=inputs,
        n_dimensions=parse_dimensions(asked.dimensions),
        truncates=asked.truncate is True,
        pooling=asked.pooling,
        options=parse_options({"num_ctx": asked.num_ctx}),
        keep_alive=parse_keep_alive(asked.keep_alive),
        terms=parse_terms(asked.priority, asked.deadline_s),
    )
    return EmbedCall(request, asked.model, is_base64)


def answer(call: EmbedCall, found: Embeddings) -> bytes:
    """Return the answer as JSON."""
    is_base64 = call.is_base64 and found.is_pooled
    rows: list[Any] = list(base64_texts(found) if is_base64 else numbers(found))
    n_tokens = sum(found.n_tokens)
    return wire.encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": row}
                for index, row in enumerate(rows)
            ],
            "model": call.model,
            "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
        }
    )

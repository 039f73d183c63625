"""Ollama's API for vectors: ``/api/embed``, and ``/api/embeddings``, which came before it.

Beyond Ollama: ``input`` may hold tokens, ``pooling`` says how tokens' vectors become a text's,
and ``truncated`` tells which inputs were cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from runner.dialects import wire
from runner.dialects.fields import parse_keep_alive
from runner.dialects.ollama import ModelBody, nanoseconds, parse_name
from runner.dialects.terms import parse_terms
from runner.dialects.vectors import Numbers, numbers, parse_dimensions, parse_inputs
from runner.domain.options import Options, parse_options
from runner.domain.request import EmbedRequest
from runner.domain.vectors import Embeddings
from runner.errors import InvalidRequest, PromptTooLong


class EmbedBody(ModelBody):
    """``POST /api/embed``."""

    input: Any = None
    truncate: bool | None = None
    dimensions: int | None = None
    pooling: Literal["mean", "cls", "last", "none"] | None = None
    keep_alive: Any = None
    options: dict[str, Any] | None = None
    priority: str | None = None
    deadline_s: float | None = None


class EmbeddingsBody(ModelBody):
    """``POST /api/embeddings``."""

    prompt: str | None = None
    keep_alive: Any = None
    options: dict[str, Any] | None = None
    priority: str | None = None
    deadline_s: float | None = None


_embed_body = msgspec.json.Decoder(EmbedBody)
_embeddings_body = msgspec.json.Decoder(EmbeddingsBody)


@dataclass(frozen=True, slots=True)
class EmbedCall:
    """What one call asks for.

    Attributes:
        request: For the service; without inputs the model shall be loaded only.
        model: The model as the caller wrote it, which the answer repeats.
    """

    request: EmbedRequest
    model: str


def parse_embed(body: bytes) -> EmbedCall:
    """Return the call that a body of ``/api/embed`` makes.

    Raises:
        RequestError: A field is missing, mistyped or out of range.
    """
    asked = wire.decode(body, _embed_body)
    name = parse_name(asked)
    request = EmbedRequest(
        model=name,
        inputs=() if asked.input in (None, "", []) else parse_inputs(asked.input),
        # Ollama's clients send 0 for "as it is".
        n_dimensions=parse_dimensions(asked.dimensions or None),
        truncates=asked.truncate is not False,
        pooling=asked.pooling,
        options=_options(asked),
        keep_alive=parse_keep_alive(asked.keep_alive),
        terms=parse_terms(asked.priority, asked.deadline_s),
    )
    return EmbedCall(request, asked.model_text())


def parse_embeddings(body: bytes) -> EmbedCall:
    """Return the call that a body of ``/api/embeddings`` makes; its vector is not normalised.

    Raises:
        RequestError: A field is missing, mistyped or out of range.
    """
    asked = wire.decode(body, _embeddings_body)
    request = EmbedRequest(
        model=parse_name(asked),
        inputs=(asked.prompt,) if asked.prompt else (),
        normalizes=False,
        options=_options(asked),
        keep_alive=parse_keep_alive(asked.keep_alive),
        terms=parse_terms(asked.priority, asked.deadline_s),
    )
    return EmbedCall(request, asked.model_text())


def _options(asked: EmbedBody | EmbeddingsBody) -> Options:
    raw = asked.options or {}
    if raw.get("num_ctx") == 0:  # Ollama's words, which its clients know
        raise InvalidRequest(
            "input after truncation exceeds maximum context length",
            hint="num_ctx must be at least 1, not 0; leave it out for the model's own",
            param="num_ctx",
        )
    return parse_options(raw)


def too_long(call: EmbedCall, error: PromptTooLong) -> PromptTooLong:
    """Return the error of an input that may not be cut in Ollama's words, which clients compare.

    Its own words, with both counts, are before the hint.
    """
    if not call.request.truncates:
        error.hint = f"{error.message}: {error.hint}"
        error.message = "the input length exceeds the context length"
    return error


class EmbedAnswer(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The answer of ``/api/embed``; durations in nanoseconds, what is zero is left out."""

    model: str
    embeddings: list[Numbers]
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    truncated: tuple[int, ...] = ()


def embed_answer(call: EmbedCall, found: Embeddings) -> bytes:
    """Return the answer to ``/api/embed`` as JSON."""
    return wire.encode(
        EmbedAnswer(
            model=call.model,
            embeddings=numbers(found),
            total_duration=nanoseconds(found.timings.total_s),
            load_duration=nanoseconds(found.timings.load_s),
            prompt_eval_count=sum(found.n_tokens),
            truncated=found.truncated,
        )
    )


def embeddings_answer(found: Embeddings) -> bytes:
    """Return the answer to ``/api/embeddings`` as JSON.

    Raises:
        InvalidRequest: The model gives a vector for each token, for which it has no form.
    """
    if not found.is_pooled:
        raise InvalidRequest(
            "this model gives a vector for each token, not one for the text",
            hint="use /api/embed, which can also ask for another pooling",
        )
    rows = numbers(found)
    return wire.encode({"embedding": rows[0] if rows else []})


def empty_answer(call: EmbedCall, *, load_s: float) -> bytes:
    """Return the answer to ``/api/embed`` without inputs; ``load_s`` is what it took to load."""
    nanos = nanoseconds(load_s)
    answer = EmbedAnswer(model=call.model, embeddings=[], total_duration=nanos, load_duration=nanos)
    return wire.encode(answer)

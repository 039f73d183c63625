"""The forms of OpenAI's answers, for ``/openapi.json``; the tests hold every answer to them.

What writes the answers is beside this file; many are written piece by piece for speed, so that no
type of theirs is left to describe.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from runner.dialects.fields import CacheFacts
from runner.dialects.openai.counts import ProgressBody, TimingsBody
from runner.dialects.openai.models import ModelObject

FinishWord = Literal["stop", "length", "tool_calls", "function_call"]

_NUMBERS = {"type": "array", "items": {"type": "number"}}
#: A vector, or, of an input that is not pooled, one for each of its tokens.
Vector = Annotated[
    Any, msgspec.Meta(extra_json_schema={"anyOf": [_NUMBERS, {"type": "array", "items": _NUMBERS}]})
]
_BASE64 = {"type": "string", "contentEncoding": "base64"}
#: The same, or its float32 numbers, little-endian, in base64.
EncodedVector = Annotated[
    Any,
    msgspec.Meta(
        extra_json_schema={"anyOf": [_NUMBERS, {"type": "array", "items": _NUMBERS}, _BASE64]}
    ),
]


class TokenDetails(msgspec.Struct):
    """Of the prompt's tokens: those that the cache had."""

    cached_tokens: int


class AnswerDetails(msgspec.Struct, omit_defaults=True):
    """Of the answer's tokens: those of thoughts, and those guessed beforehand, rightly or not."""

    reasoning_tokens: int
    accepted_prediction_tokens: int | msgspec.UnsetType = msgspec.UNSET
    rejected_prediction_tokens: int | msgspec.UnsetType = msgspec.UNSET


class UsageShape(msgspec.Struct, omit_defaults=True):
    """Tokens of a request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: TokenDetails
    completion_tokens_details: AnswerDetails


class CalledFunctionShape(msgspec.Struct):
    """``arguments`` is the JSON text of an object."""

    name: str
    arguments: str


class CallShape(msgspec.Struct):
    """One call of a tool."""

    id: str
    type: Literal["function"]
    function: CalledFunctionShape


class MessageShape(msgspec.Struct, omit_defaults=True):
    """What the model said; thoughts come under both names in use."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET
    reasoning: str | msgspec.UnsetType = msgspec.UNSET
    tool_calls: list[CallShape] | msgspec.UnsetType = msgspec.UNSET
    function_call: CalledFunctionShape | msgspec.UnsetType = msgspec.UNSET


class TopLogprobShape(msgspec.Struct):
    """A token that could have been drawn."""

    token: str
    logprob: float
    bytes: list[int]


class LogprobShape(TopLogprobShape):
    """A token that was drawn, and the likeliest at its place."""

    top_logprobs: list[TopLogprobShape]


class LogprobsShape(msgspec.Struct):
    """Every token of an answer."""

    content: list[LogprobShape]
    refusal: None


class ChoiceShape(msgspec.Struct):
    """One answer."""

    index: int
    message: MessageShape
    logprobs: LogprobsShape | None
    finish_reason: FinishWord


class ChatShape(msgspec.Struct, omit_defaults=True):
    """The answer of ``/v1/chat/completions``; ``cache`` is ours, ``timings`` llama-server's."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChoiceShape]
    usage: UsageShape
    cache: CacheFacts | msgspec.UnsetType = msgspec.UNSET
    timings: TimingsBody | msgspec.UnsetType = msgspec.UNSET


class ChunkShape(msgspec.Struct, omit_defaults=True):
    """One event of a stream of ``/v1/chat/completions``; ``data: [DONE]`` ends it."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[dict[str, Any]]
    usage: UsageShape | msgspec.UnsetType | None = msgspec.UNSET
    cache: CacheFacts | msgspec.UnsetType = msgspec.UNSET
    timings: TimingsBody | msgspec.UnsetType = msgspec.UNSET
    prompt_progress: ProgressBody | msgspec.UnsetType = msgspec.UNSET


class OldLogprobsShape(msgspec.Struct):
    """Tokens side by side; ``text_offset`` counts characters."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class TextChoiceShape(msgspec.Struct):
    """One answer, or a piece of one."""

    index: int
    text: str
    logprobs: OldLogprobsShape | None
    finish_reason: Literal["stop", "length"] | None


class CompletionShape(msgspec.Struct, omit_defaults=True):
    """The answer of ``/v1/completions``, or one event of its stream."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoiceShape]
    usage: UsageShape | msgspec.UnsetType | None = msgspec.UNSET
    cache: CacheFacts | msgspec.UnsetType = msgspec.UNSET
    timings: TimingsBody | msgspec.UnsetType = msgspec.UNSET
    prompt_progress: ProgressBody | msgspec.UnsetType = msgspec.UNSET


class ModelsShape(msgspec.Struct):
    """``GET /v1/models``."""

    object: Literal["list"]
    data: list[ModelObject]


class VectorShape(msgspec.Struct):
    """One vector."""

    object: Literal["embedding"]
    index: int
    embedding: EncodedVector


class VectorUsageShape(msgspec.Struct):
    """Tokens of inputs."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsShape(msgspec.Struct):
    """The answer of ``/v1/embeddings``."""

    object: Literal["list"]
    data: list[VectorShape]
    model: str
    usage: VectorUsageShape


class InputDetails(TokenDetails):
    """The same; no token costs more for being kept, so that none is counted as written."""

    cache_write_tokens: int


class ResponseUsageShape(msgspec.Struct):
    """Tokens of a response."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseShape(msgspec.Struct, omit_defaults=True):
    """The answer of ``/v1/responses``, and what the last event of its stream carries.

    ``warnings`` is ours: what of the body had no effect.
    """

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    background: Literal[False]
    error: dict[str, Any] | None
    incomplete_details: dict[str, str] | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, Any]
    model: str
    output: list[dict[str, Any]]
    parallel_tool_calls: bool
    previous_response_id: None
    reasoning: dict[str, str | None]
    store: bool
    temperature: float | None
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float | None
    truncation: Literal["auto", "disabled"]
    usage: ResponseUsageShape | None
    user: str | None
    warnings: list[str] | msgspec.UnsetType = msgspec.UNSET


class ResponseEventShape(msgspec.Struct):
    """One event of a stream of ``/v1/responses``; what else it has depends on its type."""

    type: str
    sequence_number: int


class RankedDocumentShape(msgspec.Struct):
    """The text of a document."""

    text: str


class RankShape(msgspec.Struct, omit_defaults=True):
    """One document's score; ``index`` is its place in the request."""

    index: int
    relevance_score: float
    document: RankedDocumentShape | msgspec.UnsetType = msgspec.UNSET


class RerankShape(msgspec.Struct):
    """The answer of the rerankers, the best first."""

    id: str
    object: Literal["list"]
    model: str
    usage: VectorUsageShape
    results: list[RankShape]


class TextRankShape(msgspec.Struct, omit_defaults=True):
    """One text's score, where the request said ``texts``."""

    index: int
    score: float
    text: str | msgspec.UnsetType = msgspec.UNSET


class ScoreRowShape(msgspec.Struct):
    """One score."""

    index: int
    object: Literal["score"]
    score: float


class ScoreShape(msgspec.Struct):
    """The answer of ``/v1/score``, in the order of the texts."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[ScoreRowShape]
    usage: VectorUsageShape

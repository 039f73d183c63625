"""Every call that is served: the type of its body, and what it answers; pure tables.

A test compares it with the routes, and another the answers with what is said of them here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from runner.dialects import (
    devices,
    jobs,
    keeping,
    loads,
    making,
    measuring,
    ollama,
    ollama_cache,
    ollama_create,
    ollama_embed,
    ollama_models,
    ollama_prompts,
    rerank,
    search,
    shapes,
    storage,
)
from runner.dialects.anthropic import messages, shapes as claude
from runner.dialects.openai import (
    chat,
    completions,
    embeddings,
    models as openai_models,
    responses,
    shapes as openai,
    tokens,
)

JSON = "application/json"
LINES = ollama.STREAM_CONTENT_TYPE
EVENTS = chat.STREAM_CONTENT_TYPE
TEXT = "text/plain"
BYTES = "application/octet-stream"

#: Statuses beside those of every call: of calls about a model, and of those that make it answer.
_ABOUT_A_MODEL = (404,)
_ANSWERS = (404, 499, 502, 504)
_FROM_A_HUB = (404, 502)
_MAKES = (404, 409, 502)


@dataclass(frozen=True, slots=True)
class Query:
    """A field of the query string: its JSON schema, and what it is for."""

    name: str
    schema: Mapping[str, Any]
    what: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One call.

    Attributes:
        answer: The type of its answer, or a tuple of those it may have; ``None``: nothing, or text.
        body: The same of its body; ``bytes``: a file; ``None``: none is read.
        stream: Content type and type of one piece, where the answer may come as a stream.
        status: Of success.
        kind: Content type of the answer; empty: there is nothing in it.
        may_lack_body: Whether the body can be left out.
        fails: Statuses that other calls do not answer with.
        query: What the query string may hold.
        plan: The type of the answer, with 200, to a call that shall only say what it would do.
    """

    answer: Any = None
    body: Any = None
    stream: tuple[str, Any] | None = None
    status: int = 200
    kind: str = JSON
    may_lack_body: bool = False
    fails: tuple[int, ...] = ()
    query: tuple[Query, ...] = ()
    plan: Any = None


def _about(answer: Any, body: Any) -> Operation:
    return Operation(answer, body, fails=_ABOUT_A_MODEL)


def _infers(answer: Any, body: Any, stream: tuple[str, Any] | None = None) -> Operation:
    return Operation(answer, body, stream=stream, fails=_ANSWERS)


def _both(path: str, operation: Operation) -> dict[str, Operation]:
    """A call under ``/v1`` and, for clients that are given the bare address, without."""
    return {f"POST {root}{path}": operation for root in ("/v1", "")}


_RERANK = _infers((openai.RerankShape, list[openai.TextRankShape]), rerank.RerankBody)
_SCORE = _infers(openai.ScoreShape, rerank.ScoreBody)
_JOB = Operation(jobs.JobAnswer, fails=(404,))
_PROGRESS = ollama_models.ProgressBody

_OLLAMA: dict[str, Operation] = {
    "GET /": Operation(kind=TEXT),
    "GET /api/version": Operation(shapes.VersionShape),
    "GET /api/status": Operation(shapes.StatusShape),
    "GET /api/tags": Operation(shapes.TagsShape),
    "GET /api/ps": Operation(shapes.RunningShape),
    "POST /api/show": _about(ollama_models.ShowAnswer, ollama_models.ShowBody),
    "POST /api/generate": _infers(
        (ollama.Answer, ollama_prompts.DebugBody), ollama.GenerateBody, (LINES, shapes.LineShape)
    ),
    "POST /api/chat": _infers(
        (ollama.Answer, ollama_prompts.DebugBody), ollama.ChatBody, (LINES, shapes.LineShape)
    ),
    "POST /api/embed": _infers(shapes.EmbedShape, ollama_embed.EmbedBody),
    "POST /api/embeddings": _infers(shapes.EmbeddingShape, ollama_embed.EmbeddingsBody),
    "POST /api/pull": Operation(
        _PROGRESS, ollama_models.PullBody, stream=(LINES, _PROGRESS), fails=_MAKES
    ),
    "POST /api/push": Operation(status=400),
    "POST /api/create": Operation(
        _PROGRESS, ollama_create.CreateBody, stream=(LINES, _PROGRESS), fails=_MAKES
    ),
    "POST /api/copy": Operation(None, ollama_models.CopyBody, kind="", fails=_ABOUT_A_MODEL),
    "DELETE /api/delete": Operation(None, ollama.ModelBody, kind="", fails=_ABOUT_A_MODEL),
    "HEAD /api/blobs/{digest}": Operation(kind="", fails=(404,)),
    "POST /api/blobs/{digest}": Operation(None, bytes, kind="", status=201),
}

_OPENAI: dict[str, Operation] = {
    "GET /v1/models": Operation((openai.ModelsShape, claude.ModelsShape)),
    "GET /models": Operation(openai.ModelsShape),
    "GET /v1/models/{name}": _about((openai_models.ModelObject, claude.ModelShape), None),
    **_both(
        "/chat/completions",
        _infers(openai.ChatShape, chat.ChatBody, (EVENTS, openai.ChunkShape)),
    ),
    **_both(
        "/completions",
        _infers(
            openai.CompletionShape, completions.CompletionBody, (EVENTS, openai.CompletionShape)
        ),
    ),
    **_both("/embeddings", _infers(openai.EmbeddingsShape, embeddings.EmbeddingsBody)),
    **_both(
        "/responses",
        _infers(openai.ResponseShape, responses.ResponsesBody, (EVENTS, openai.ResponseEventShape)),
    ),
    **_both("/chat/completions/input_tokens", _infers(tokens.InputTokensBody, chat.ChatBody)),
    **_both("/responses/input_tokens", _infers(tokens.InputTokensBody, responses.ResponsesBody)),
    "POST /apply-template": _infers(tokens.TemplateBody, chat.ChatBody),
    "GET /v1/responses/{id}": Operation(status=404),
    "DELETE /v1/responses/{id}": Operation(status=404),
    **_both("/tokenize", _infers(tokens.TokenizedBody, tokens.TokenizeBody)),
    **_both("/detokenize", _infers(tokens.DetokenizedBody, tokens.DetokenizeBody)),
    **{f"POST {path}": _RERANK for path in ("/v1/rerank", "/v1/reranking", "/v2/rerank")},
    **{f"POST {path}": _RERANK for path in ("/rerank", "/reranking")},
    **_both("/score", _SCORE),
}

_ANTHROPIC: dict[str, Operation] = {
    "POST /v1/messages": _infers(
        claude.MessageShape, messages.MessagesBody, (EVENTS, claude.EventShape)
    ),
    "POST /v1/messages/count_tokens": _infers(claude.CountShape, messages.CountBody),
}

_FOLLOW = Query("follow", {"type": "boolean"}, "whether the lines to come follow")
_N_LINES = Query("lines", {"type": "integer", "minimum": 0, "maximum": 2000}, "how many to tell")
_SEARCH = (
    Query("q", {"type": "string"}, "words to look for, or the full name of a repository to open"),
    Query("hub", {"type": "string"}, "which hub; all, unless it is said"),
    Query("limit", {"type": "integer", "minimum": 1, "maximum": 50}, "most models to tell"),
)

_CARD = (Query("name", {"type": "string"}, "full name of a repository, or a link to it"),)

_MODEL = (Query("model", {"type": "string"}, "which model"),)

_OWN: dict[str, Operation] = {
    "GET /health": Operation(shapes.HealthShape),
    "GET /v1/health": Operation(shapes.HealthShape),
    "GET /metrics": Operation(kind=TEXT),
    "GET /openapi.json": Operation(dict[str, Any]),
    "POST /api/load": _infers(
        shapes.LoadedShape, loads.LoadBody, (LINES, (shapes.LoadShape, shapes.LoadedShape))
    ),
    "POST /api/estimate": _about(shapes.EstimateShape, loads.EstimateBody),
    "POST /api/unload": _about(shapes.UnloadedShape, ollama.ModelBody),
    "POST /api/render": _infers(
        ollama_prompts.RenderedBody, (ollama.GenerateBody, ollama.ChatBody)
    ),
    "POST /api/tokenize": _infers(ollama_prompts.TokensBody, ollama_prompts.TokenizeBody),
    "POST /api/detokenize": _infers(ollama_prompts.TextBody, ollama_prompts.DetokenizeBody),
    "GET /api/search": Operation(search.SearchBody, query=_SEARCH, fails=_FROM_A_HUB),
    "GET /api/search/card": Operation(search.CardBody, query=_CARD, fails=_FROM_A_HUB),
    "POST /api/modelfile/check": Operation(ollama_create.CheckAnswer, ollama_create.CheckBody),
    "GET /api/requests": Operation(shapes.RequestsShape),
    "DELETE /api/requests/{id}": Operation(shapes.CancelledShape, fails=(404,)),
    "GET /api/cache": Operation(shapes.CacheShape),
    "DELETE /api/cache": Operation(
        shapes.ClearedShape, ollama_cache.ClearBody, may_lack_body=True, fails=_ABOUT_A_MODEL
    ),
    "GET /api/jobs": Operation(shapes.JobsShape),
    "POST /api/jobs": Operation(jobs.JobAnswer, jobs.JobBody, status=201, fails=_MAKES),
    "GET /api/jobs/{id}": _JOB,
    "DELETE /api/jobs/{id}": _JOB,
    "POST /api/jobs/{id}/pause": _JOB,
    "POST /api/jobs/{id}/resume": replace(_JOB, fails=(404, 409)),
    "POST /api/jobs/{id}/move": _about(jobs.JobAnswer, jobs.MoveBody),
    "POST /api/jobs/{id}/limit": _about((jobs.JobAnswer, shapes.JobsShape), jobs.LimitBody),
    "GET /api/events": Operation(kind=EVENTS),
    "GET /api/du": Operation(shapes.DiskUseShape),
    "GET /api/folder": Operation(shapes.FolderShape),
    "POST /api/folder": Operation(
        jobs.JobAnswer, storage.FolderBody, status=201, plan=shapes.FolderPlanShape
    ),
    "POST /api/verify": Operation(
        shapes.VerifiedShape,
        storage.VerifyBody,
        stream=(LINES, shapes.MomentShape),
        may_lack_body=True,
        fails=_ABOUT_A_MODEL,
    ),
    "POST /api/repair": Operation(
        shapes.RepairedShape,
        storage.RepairBody,
        stream=(LINES, shapes.MomentShape),
        fails=_FROM_A_HUB,
    ),
    "POST /api/prune": Operation(shapes.PrunedShape, storage.PruneBody, may_lack_body=True),
    "POST /api/quantize": Operation(
        jobs.JobAnswer,
        making.QuantizeBody,
        status=201,
        fails=_MAKES,
        plan=making.PlanAnswer,
    ),
    "POST /api/perplexity": Operation(
        jobs.JobAnswer, measuring.PerplexityBody, status=201, fails=_MAKES
    ),
    "POST /api/bench": Operation(jobs.JobAnswer, measuring.BenchBody, status=201, fails=_MAKES),
    "GET /api/quality": Operation(dict[str, Any], query=_MODEL, fails=_ABOUT_A_MODEL),
    "GET /api/bench": Operation(dict[str, Any], query=_MODEL, fails=_ABOUT_A_MODEL),
    "GET /api/machine": Operation(shapes.MachineShape),
    "GET /api/keys": Operation(shapes.KeysShape),
    "POST /api/keys": Operation(shapes.NewKeyShape, keeping.KeyBody, status=201),
    "DELETE /api/keys/{id}": Operation(shapes.RevokedShape, fails=(404,)),
    "GET /api/settings": Operation(shapes.SettingsShape),
    "PATCH /api/settings": Operation(shapes.SettingsShape, dict[str, Any]),
    "GET /api/devices": Operation(devices.DeviceList),
    "POST /api/devices": Operation(devices.DeviceRow, devices.DeviceBody, status=201, fails=(502,)),
    "DELETE /api/devices/{address}": Operation(devices.RemovedDevice),
    "PUT /api/secrets/{name}": Operation(shapes.SecretShape, keeping.SecretBody),
    "GET /api/logs": Operation(kind=TEXT, query=(_N_LINES, _FOLLOW)),
    "POST /api/shutdown": Operation(shapes.EndingShape),
}

#: Every call by method and path, under the name of its API.
OPERATIONS: Mapping[str, Mapping[str, Operation]] = {
    "Ollama": _OLLAMA,
    "OpenAI": _OPENAI,
    "Anthropic": _ANTHROPIC,
    "Corral": _OWN,
}

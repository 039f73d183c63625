"""``/v1/rerank`` in the form that Jina, Cohere, vLLM and llama-server share, and ``/v1/score``.

Scores are the model's own, not brought into [0, 1]; a document that is too long is cut unless
``truncate`` is false.  llama-server's other form, of Hugging Face's text-embeddings-inference, is
told by its ``texts`` in place of ``documents``.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import msgspec

from runner.dialects import wire
from runner.dialects.fields import parse_keep_alive
from runner.dialects.terms import parse_terms
from runner.dialects.vectors import MAX_INPUTS
from runner.domain.name import ModelName
from runner.domain.options import parse_options
from runner.domain.request import RerankRequest
from runner.domain.vectors import Ranking
from runner.errors import InvalidRequest


class RerankBody(msgspec.Struct):
    """The body of ``/v1/rerank``."""

    model: str
    query: str
    documents: list[Any] | None = None
    texts: list[Any] | None = None
    top_n: int | None = None
    return_documents: bool | None = None
    return_text: bool | None = None
    truncate: bool | None = None
    keep_alive: Any = None
    num_ctx: int | None = None
    priority: str | None = None
    deadline_s: float | None = None


class ScoreBody(msgspec.Struct):
    """The body of ``/v1/score``: one text against one or several others."""

    model: str
    text_1: str
    text_2: str | list[str]
    truncate: bool | None = None
    keep_alive: Any = None
    num_ctx: int | None = None
    priority: str | None = None
    deadline_s: float | None = None


_rerank_body = msgspec.json.Decoder(RerankBody)
_score_body = msgspec.json.Decoder(ScoreBody)


@dataclass(frozen=True, slots=True)
class RerankCall:
    """What one call asks for.

    Attributes:
        request: For the service.
        model: The model as the caller wrote it.
        n_top: Most results to tell.
        tells_documents: Whether each result repeats its document.
        has_texts: Whether the call and its answer have the other form.
    """

    request: RerankRequest
    model: str
    n_top: int
    tells_documents: bool = False
    has_texts: bool = False


def parse(body: bytes) -> RerankCall:
    """Return the call that a body of ``/v1/rerank`` makes.

    Raises:
        RequestError: A field is missing, mistyped or out of range; ``param`` names it.
    """
    asked = wire.decode(body, _rerank_body)
    has_texts = asked.documents is None and asked.texts is not None
    field = "texts" if has_texts else "documents"
    given = asked.texts if has_texts else asked.documents
    if given is None:
        raise InvalidRequest("'documents' is required", param="documents")
    documents = tuple(_document(item, f"{field}[{i}]") for i, item in enumerate(given))
    if asked.top_n is not None and asked.top_n < 1:
        raise InvalidRequest(f"top_n must be at least 1, not {asked.top_n}", param="top_n")
    return RerankCall(
        _request(asked, asked.query, documents, field),
        asked.model,
        n_top=len(documents) if asked.top_n is None else asked.top_n,
        tells_documents=bool(asked.return_text if has_texts else asked.return_documents),
        has_texts=has_texts,
    )


def parse_score(body: bytes) -> RerankCall:
    """Return the call that a body of ``/v1/score`` makes.

    Raises:
        RequestError: A field is missing, mistyped or out of range; ``param`` names it.
    """
    asked = wire.decode(body, _score_body)
    documents = (asked.text_2,) if isinstance(asked.text_2, str) else tuple(asked.text_2)
    request = _request(asked, asked.text_1, documents, "text_2")
    return RerankCall(request, asked.model, n_top=len(documents))


def _request(
    asked: RerankBody | ScoreBody, query: str, documents: tuple[str, ...], field: str
) -> RerankRequest:
    if not asked.model:
        raise InvalidRequest("model is required", param="model")
    if not documents:
        raise InvalidRequest(f"{field} must not be empty", param=field)
    if len(documents) > MAX_INPUTS:
        raise InvalidRequest(
            f"{field} has {len(documents)} items; at most {MAX_INPUTS} are taken at once",
            hint="send them in several requests",
            param=field,
        )
    return RerankRequest(
        model=ModelName.parse(asked.model),
        query=query,
        documents=documents,
        truncates=asked.truncate is not False,
        options=parse_options({"num_ctx": asked.num_ctx}),
        keep_alive=parse_keep_alive(asked.keep_alive),
        terms=parse_terms(asked.priority, asked.deadline_s),
    )


def _document(item: Any, where: str) -> str:
    """The text of a document; Cohere and Jina also take an object that has it."""
    text = item.get("text") if isinstance(item, dict) else item
    if not isinstance(text, str):
        raise InvalidRequest(f"'{where}' must be a string, or an object with 'text'", param=where)
    return text


def answer(call: RerankCall, found: Ranking) -> bytes:
    """Return the results as JSON, the best first; of equals the earlier one first."""
    order = sorted(range(len(found.scores)), key=lambda index: -found.scores[index])
    results = [_result(call, index, found.scores[index]) for index in order[: call.n_top]]
    if call.has_texts:
        return wire.encode(results)
    return wire.encode(
        {
            "id": f"rerank-{secrets.token_hex(12)}",
            "object": "list",
            "model": call.model,
            "usage": _usage(found),
            "results": results,
        }
    )


def _result(call: RerankCall, index: int, score: float) -> dict[str, Any]:
    text = call.request.documents[index]
    if call.has_texts:
        told: dict[str, Any] = {"index": index, "score": score}
        return told | {"text": text} if call.tells_documents else told
    told = {"index": index, "relevance_score": score}
    return told | {"document": {"text": text}} if call.tells_documents else told


def score_answer(call: RerankCall, found: Ranking, *, created: int) -> bytes:
    """Return the scores as JSON, in the order of the texts; ``created`` in epoch seconds."""
    return wire.encode(
        {
            "id": f"score-{secrets.token_hex(12)}",
            "object": "list",
            "created": created,
            "model": call.model,
            "data": [
                {"index": index, "object": "score", "score": score}
                for index, score in enumerate(found.scores)
            ],
            "usage": _usage(found),
        }
    )


def _usage(found: Ranking) -> dict[str, int]:
    n_tokens = sum(found.n_tokens)
    return {"prompt_tokens": n_tokens, "total_tokens": n_tokens}

"""Corral's own ``/api/search``: query in, JSON out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from runner.dialects import wire
from runner.domain.search import FoundModel, ModelCard, Opened, SearchResult
from runner.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Search:
    """A call of ``/api/search``."""

    words: str
    hub: str
    limit: int


class QuantBody(msgspec.Struct):
    """One quantization; ``fits`` is null when that is not known, ``memory`` when not opened."""

    name: str
    size: int
    fits: bool | None
    memory: int | None


class OpenedBody(msgspec.Struct):
    """More of a repository that was asked for by its name; ``problem`` says why there is less."""

    chosen: str
    reason: str
    architecture: str
    parameters: int
    context_length: int
    memory_context: int
    problem: str


class ModelBody(msgspec.Struct):
    """One repository."""

    name: str
    hub: str
    likes: int
    downloads: int
    license: str
    gated: bool
    languages: list[str]
    capabilities: list[str]
    quants: list[QuantBody]
    opened: OpenedBody | None


class FailureBody(msgspec.Struct):
    """A hub that could not be asked."""

    hub: str
    error: str
    code: str
    hint: str


class SearchBody(msgspec.Struct):
    """``GET /api/search``."""

    models: list[ModelBody]
    errors: list[FailureBody]


class CardBody(msgspec.Struct):
    """``GET /api/search/card``; ``text`` is empty when there is no card."""

    name: str
    text: str
    truncated: bool


def parse_search(query: Mapping[str, str]) -> Search:
    """Return the call that a query string makes.

    Raises:
        InvalidRequest: ``limit`` is no number.
    """
    text = query.get("limit", "").strip() or "10"
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidRequest(f"limit must be a whole number, not '{text[:40]}'", param="limit")
    return Search(query.get("q", ""), query.get("hub", "").strip().lower() or "all", int(text))


def found(result: SearchResult) -> bytes:
    """Return what was found, as JSON."""
    failures = [FailureBody(one.hub, one.message, one.code, one.hint) for one in result.failures]
    return wire.encode(SearchBody([_model(model) for model in result.models], failures))


def card(told: ModelCard) -> bytes:
    """Return a repository's card, as JSON."""
    return wire.encode(CardBody(told.name, told.text, told.is_cut))


def _model(model: FoundModel) -> ModelBody:
    return ModelBody(
        name=model.name,
        hub=model.hub,
        likes=model.n_likes,
        downloads=model.n_downloads,
        license=model.license,
        gated=model.is_gated,
        languages=list(model.languages),
        capabilities=[str(one) for one in model.abilities],
        quants=[
            QuantBody(quant.label, quant.n_bytes, quant.fits, quant.n_memory or None)
            for quant in model.quants
        ],
        opened=_opened(model.opened) if model.opened else None,
    )


def _opened(more: Opened) -> OpenedBody:
    return OpenedBody(
        chosen=more.chosen,
        reason=more.reason,
        architecture=more.architecture,
        parameters=more.n_params,
        context_length=more.n_ctx_train,
        memory_context=more.n_ctx,
        problem=more.problem,
    )

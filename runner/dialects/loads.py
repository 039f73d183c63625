"""Loads that are watched, and what they need of memory: our own part of the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from runner.dialects import wire
from runner.dialects.fields import parse_keep_alive
from runner.dialects.ollama import STREAM_CONTENT_TYPE, ModelBody, error_body, parse_name
from runner.domain.loading import LoadMoment
from runner.domain.memory import MemoryNeed
from runner.domain.model import RunningModel
from runner.domain.name import ModelName
from runner.domain.options import Options, parse_options
from runner.errors import CorralError


class LoadBody(ModelBody):
    """``POST /api/load``."""

    options: dict[str, Any] | None = None
    keep_alive: Any = None
    pin: bool | None = None
    stream: bool | None = None


class EstimateBody(ModelBody):
    """``POST /api/estimate``."""

    options: dict[str, Any] | None = None


_load_body = msgspec.json.Decoder(LoadBody)
_estimate_body = msgspec.json.Decoder(EstimateBody)


@dataclass(frozen=True, slots=True)
class LoadCall:
    """A call of ``/api/load``; ``pins``: whether it stays until told to go, ``None``: as before."""

    name: ModelName
    options: Options
    keep_alive: float | None
    pins: bool | None
    stream: bool


def parse_load(body: bytes) -> LoadCall:
    """Return the call that a body of ``/api/load`` makes."""
    asked = wire.decode(body, _load_body)
    return LoadCall(
        parse_name(asked),
        parse_options(asked.options or {}),
        parse_keep_alive(asked.keep_alive),
        asked.pin,
        stream=asked.stream is not False,
    )


def parse_estimate(body: bytes) -> tuple[ModelName, Options]:
    """Return model and options of a body of ``/api/estimate``."""
    asked = wire.decode(body, _estimate_body)
    return parse_name(asked), parse_options(asked.options or {})


def loads(moments: Sequence[LoadMoment]) -> bytes:
    """Return the loads under way."""
    return wire.encode({"loads": rows(moments)})


def rows(moments: Sequence[LoadMoment]) -> list[dict[str, Any]]:
    """Return how far each load is."""
    return [_moment(moment) for moment in moments]


def estimate(need: MemoryNeed) -> bytes:
    """Return what a model needs."""
    return wire.encode(need_body(need))


def need_body(need: MemoryNeed) -> dict[str, Any]:
    """Return what a model needs, in bytes, and what there is."""
    told: dict[str, Any] = {
        "fits": need.fits,
        "needed": need.n_needed,
        "free": need.n_free,
        "context_length": need.n_ctx,
        "cache_length": need.n_cells,
        "weights": need.n_weights,
        "kv_cache": need.n_kv,
        "compute": need.n_compute,
        "output": need.n_output,
        "projector": need.n_projector,
        "draft": need.n_draft,
        "accelerator": need.n_accelerator,
        "advice": list(need.advice),
        "layers": need.n_layers,
        "devices": [
            {
                "name": one.device,
                "layers": one.n_layers,
                "needed": one.n_needed,
                "free": one.n_free,
            }
            for one in need.placed
        ],
        "note": need.note,
    }
    if need.n_ctx_asked > need.n_ctx:
        told["context_length_asked"] = need.n_ctx_asked
    return told


class LoadEncoder:
    """Turns the moments of a load into lines of JSON."""

    content_type = STREAM_CONTENT_TYPE
    ping = b""

    def encode(self, event: LoadMoment | RunningModel) -> bytes:
        """Return the line that tells ``event``; a running model is the end."""
        return line(event) + b"\n"

    def error(self, error: CorralError) -> bytes:
        """Return the line that ends a load which failed."""
        return wire.encode(error_body(error)) + b"\n"


def line(event: LoadMoment | RunningModel) -> bytes:
    """Return one moment of a load, or its end."""
    if isinstance(event, LoadMoment):
        return wire.encode(_moment(event))
    return wire.encode(
        {
            "model": str(event.info.name),
            "status": "success",
            "percent": 100,
            "context_length": event.n_ctx,
            "load_seconds": round(event.load_s, 3),
            "size": event.n_resident,
            "pinned": event.is_pinned,
            "note": event.note,
        }
    )


def _moment(moment: LoadMoment) -> dict[str, Any]:
    return {
        "model": str(moment.info.name),
        "status": moment.stage.value,
        "percent": round(100 * moment.share),
    }

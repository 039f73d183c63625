"""Ollama's API for models: tags, ps, show, and the bodies of pull, copy and delete."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from runner.dialects import loads, wire
from runner.dialects.fields import named
from runner.dialects.jobs import parse_limit
from runner.dialects.measuring import quality_row
from runner.dialects.ollama import (
    STREAM_CONTENT_TYPE,
    ModelBody,
    error_body,
    parse_name,
    rfc3339,
)
from runner.domain.loading import LoadMoment
from runner.domain.model import ModelDetails, ModelInfo, RunningModel
from runner.domain.name import ModelName
from runner.domain.options import OPTION_SPECS
from runner.domain.progress import Progress
from runner.errors import CorralError, InvalidRequest

#: Longest array of the metadata that ``show`` tells without ``verbose``.
_SHORT_ARRAY = 5
#: What "for ever" adds to now: Go's longest duration, in seconds.
_FOR_EVER_S = (2**63 - 1) / 1e9


class ShowBody(ModelBody):
    """``POST /api/show``."""

    verbose: bool | None = None


class PullBody(ModelBody):
    """``POST /api/pull``; our own: ``path``, a file on this machine, and ``limit``, a speed."""

    stream: bool | None = None
    path: str | None = None
    limit: str | int | None = None


class CopyBody(msgspec.Struct):
    """``POST /api/copy``."""

    source: str
    destination: str


_model_body = msgspec.json.Decoder(ModelBody)
_show_body = msgspec.json.Decoder(ShowBody)
_pull_body = msgspec.json.Decoder(PullBody)
_copy_body = msgspec.json.Decoder(CopyBody)


@dataclass(frozen=True, slots=True)
class Show:
    """A call of ``/api/show``."""

    name: ModelName
    verbose: bool


@dataclass(frozen=True, slots=True)
class Pull:
    """A call of ``/api/pull``: ``name`` from a hub, or the file at ``path``, named or not."""

    name: ModelName | None
    path: Path | None
    stream: bool
    limit_bps: int | None = None


def parse_model(body: bytes) -> tuple[ModelName, str]:
    """Return the model that a body names, and as it wrote it; delete and unload ask for no more."""
    asked = wire.decode(body, _model_body)
    text = asked.model_text()
    return named(text, _invalid("name", text)) if text else parse_name(asked), text


def parse_show(body: bytes) -> Show:
    """Return the call that a body of ``/api/show`` makes."""
    asked = wire.decode(body, _show_body)
    return Show(parse_name(asked), verbose=bool(asked.verbose))


def parse_pull(body: bytes) -> Pull:
    """Return the call that a body of ``/api/pull`` makes.

    Raises:
        RequestError: Neither a model nor a path is given, or one of them is not good.
    """
    asked = wire.decode(body, _pull_body)
    stream = asked.stream is not False
    if not asked.path:
        return Pull(parse_name(asked), None, stream, parse_limit(asked.limit))
    path = Path(asked.path)
    if not path.is_absolute():
        raise InvalidRequest(
            f"path must be absolute, not '{asked.path}'",
            hint="the daemon does not know the folder you stand in",
            param="path",
        )
    return Pull(parse_name(asked) if asked.model_text() else None, path, stream)


def parse_copy(body: bytes) -> tuple[ModelName, ModelName, str]:
    """Return source and destination of a body of ``/api/copy``, and the source as it wrote it."""
    asked = wire.decode(body, _copy_body)
    source = named(asked.source, _invalid("source", asked.source))
    destination = named(asked.destination, _invalid("destination", asked.destination))
    return source, destination, asked.source


def _invalid(what: str, text: str) -> str:
    return f'{what} "{text[:80]}" is invalid'


# Answers


class Details(msgspec.Struct):
    """What a model is, in Ollama's words; ``parameter_count``, the exact number, is ours."""

    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str
    context_length: int
    embedding_length: int
    parameter_count: int


class Tag(msgspec.Struct):
    """One line of ``/api/tags``; ``last_used_at``, null where it is not known, is ours."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: Details
    capabilities: list[str]
    last_used_at: str | None


class PlacedRow(msgspec.Struct):
    """A device that has layers of a model."""

    name: str
    layers: int


class Running(msgspec.Struct):
    """One line of ``/api/ps``; from ``pid`` on it is our own."""

    name: str
    model: str
    size: int
    digest: str
    details: Details
    expires_at: str
    size_vram: int
    context_length: int
    pid: int
    n_active: int
    n_steps: int
    n_tokens: int
    needed: int
    load_seconds: float
    pinned: bool
    devices: list[PlacedRow]
    note: str


class Tensor(msgspec.Struct):
    """One tensor of ``/api/show``; ``size``, in bytes, is our own."""

    name: str
    type: str
    shape: list[int]
    size: int


class Turn(msgspec.Struct):
    """A message of the model's own."""

    role: str
    content: str


class ShowAnswer(msgspec.Struct, omit_defaults=True, kw_only=True):
    """``/api/show``; our own: ``provenance``, ``warnings`` and ``quality``."""

    modelfile: str
    parameters: str
    template: str
    system: str = ""
    license: str = ""
    details: Details
    messages: list[Turn] = []
    model_info: dict[str, Any]
    projector_info: dict[str, Any] = {}
    tensors: list[Tensor] = []
    capabilities: list[str]
    modified_at: str
    requires: str = ""
    provenance: dict[str, Any] = {}
    warnings: list[str] = []
    quality: dict[str, Any] | None = None


class ProgressBody(msgspec.Struct, omit_defaults=True):
    """One line of ``/api/pull``; our own: ``name`` in the last, ``source`` of what is fetched."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0
    name: str = ""
    source: str = ""


def tags(models: Sequence[ModelInfo]) -> bytes:
    """Return the library, newest first."""
    newest_first = sorted(models, key=lambda model: model.modified_at, reverse=True)
    return wire.encode({"models": [_encoded_tag(m, str(m.name)) for m in newest_first]})


@lru_cache(maxsize=1 << 15)  # lines of models that have not changed: most, in a long list
def _encoded_tag(model: ModelInfo, _name: str) -> msgspec.Raw:
    """Return a line as JSON; names that differ in case alone are equal, and have two lines."""
    return msgspec.Raw(wire.encode(_tag(model)))


def ps(models: Sequence[RunningModel], *, now: float, loading: Sequence[LoadMoment] = ()) -> bytes:
    """Return what is in memory, the one that stays longest first, and what is on its way there.

    ``now`` in seconds since the epoch.
    """
    last_first = sorted(models, key=lambda model: model.expires_at, reverse=True)
    told: dict[str, Any] = {"models": [_running(model, now) for model in last_first]}
    if loading:
        told["loads"] = loads.rows(loading)
    return wire.encode(told)


def show(details: ModelDetails, *, verbose: bool) -> bytes:
    """Return all about one model; long arrays and tensors only when ``verbose``."""
    info = details.info
    return wire.encode(
        ShowAnswer(
            modelfile=details.modelfile,
            parameters=_parameters(details),
            template=details.template,
            system=details.system,
            license=details.license,
            details=_details(info),
            messages=[Turn(turn.role, turn.content) for turn in details.messages],
            model_info=_metadata(details.metadata, verbose=verbose),
            projector_info=_metadata(details.projector, verbose=verbose),
            tensors=[Tensor(name, kind, list(shape), n) for name, kind, shape, n in details.tensors]
            if verbose
            else [],
            capabilities=[ability.value for ability in info.capabilities],
            modified_at=_moment(info.modified_at),
            requires=details.requires,
            provenance=_origin(details.provenance),
            warnings=list(details.warnings),
            quality=quality_row(details.quality) if details.quality else None,
        )
    )


def progress(moment: Progress) -> bytes:
    """Return one moment of a pull."""
    return wire.encode(
        ProgressBody(
            moment.phase,
            moment.digest,
            moment.n_bytes,
            moment.n_done,
            moment.name,
            moment.source,
        )
    )


class ProgressEncoder:
    """Turns the moments of a pull into lines of JSON."""

    content_type = STREAM_CONTENT_TYPE
    ping = b""

    def encode(self, event: Progress) -> bytes:
        """Return the line that tells ``event``."""
        return progress(event) + b"\n"

    def error(self, error: CorralError) -> bytes:
        """Return the line that ends a pull which failed on its way."""
        return wire.encode(error_body(error)) + b"\n"


def human_number(number: int) -> str:
    """Return a count of weights as people write it: ``7B``, ``1.5B``, ``134.52M``."""
    if number >= 10**9:
        return _rounded(number / 10**9, 1) + "B"
    if number >= 10**6:
        return _rounded(number / 10**6, 2) + "M"
    if number >= 10**3:
        return f"{number / 10**3:.0f}K"
    return str(number)


def _rounded(value: float, n_digits: int) -> str:
    return f"{value:.0f}" if value.is_integer() else f"{value:.{n_digits}f}"


def _tag(model: ModelInfo) -> Tag:
    name = str(model.name)
    return Tag(
        name=name,
        model=name,
        modified_at=_moment(model.modified_at),
        size=model.n_bytes,
        digest=model.digest,
        details=_details(model),
        capabilities=[ability.value for ability in model.capabilities],
        last_used_at=_moment(model.used_at) if model.used_at else None,
    )


def _running(model: RunningModel, now: float) -> Running:
    return Running(
        name=str(model.info.name),
        model=str(model.info.name),
        size=model.n_resident,
        digest=model.info.digest,
        details=_details(model.info),
        expires_at=_moment(min(model.expires_at, now + _FOR_EVER_S)),
        size_vram=model.n_vram,
        context_length=model.n_ctx,
        pid=model.pid,
        n_active=model.n_active,
        n_steps=model.n_steps,
        n_tokens=model.n_tokens,
        needed=model.n_needed,
        load_seconds=round(model.load_s, 3),
        pinned=model.is_pinned,
        devices=[PlacedRow(name, n) for name, n in model.placed],
        note=model.note,
    )


def _details(model: ModelInfo) -> Details:
    return _details_of(
        model.architecture, model.n_params, model.quantization, model.n_ctx_train, model.n_embd
    )


@lru_cache(maxsize=1 << 10)  # of thousands of models, many are of one family and size
def _details_of(
    architecture: str, n_params: int, quantization: str, n_ctx_train: int, n_embd: int
) -> Details:
    return Details(
        parent_model="",
        format="gguf",
        family=architecture,
        families=[architecture],
        parameter_size=human_number(n_params),
        parameter_count=n_params,
        quantization_level=quantization,
        context_length=n_ctx_train,
        embedding_length=n_embd,
    )


def _moment(seconds: float) -> str:
    whole = math.floor(seconds)
    return rfc3339(whole * 10**9 + int((seconds - whole) * 1e9))


def _metadata(found: Mapping[str, Any], *, verbose: bool) -> dict[str, Any]:
    """All but what the name and ``template`` tell."""
    return {
        key: [] if not verbose and _is_long(value) else value
        for key, value in found.items()
        if key not in ("general.name", "tokenizer.chat_template")
    }


def _is_long(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > _SHORT_ARRAY


def _option_lines(details: ModelDetails) -> list[tuple[str, str]]:
    """Each parameter with its value as a Modelfile writes it; lists of texts a line for each."""
    lines: list[tuple[str, str]] = []
    for name, value in details.options.set_values().items():
        values = value if OPTION_SPECS[name].kind is str else [value]
        lines += [(name, wire.encode(each).decode()) for each in values]
    return lines


def _parameters(details: ModelDetails) -> str:
    return "\n".join(f"{name:<30} {value}" for name, value in _option_lines(details))


def _origin(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Where the model came from, without the digests of its files' parts, which are thousands."""
    told = dict(provenance)
    files = told.get("files")
    if isinstance(files, list):
        told["files"] = [
            {key: value for key, value in file.items() if key not in ("parts", "part_bytes")}
            for file in files
            if isinstance(file, dict)
        ]
    return told

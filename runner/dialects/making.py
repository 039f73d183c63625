"""Corral's own JSON for models that are written in other types: ``/api/quantize``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from runner.dialects import wire
from runner.dialects.ollama import ModelBody, parse_name
from runner.domain.file_types import DEFAULT_FILE_TYPE, file_type
from runner.domain.name import ModelName
from runner.domain.quantize import QuantizePlan, QuantizeRequest
from runner.errors import InvalidRequest

_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")
_MAX_TYPES = 40
#: Longest pattern of a tensor's name, in characters.
_MAX_PATTERN = 200


@dataclass(frozen=True, slots=True)
class Quantize:
    """A call of ``/api/quantize``."""

    request: QuantizeRequest
    is_dry: bool


class QuantizeBody(ModelBody):
    """``POST /api/quantize``; without ``types`` it is ``Q4_K_M``."""

    types: list[str] | None = None
    name: str | None = None
    tensors: dict[str, str] | None = None
    imatrix: str | None = None
    requantize: bool = False
    dry_run: bool = False


class TargetAnswer(msgspec.Struct):
    """What one type would make; sizes in bytes."""

    type: str
    name: str
    size: int
    memory: int
    context: int
    bits_per_weight: float
    tensors: dict[str, int]
    exists: bool


class PlanAnswer(msgspec.Struct):
    """What ``dry_run`` answers; ``ok`` is false where ``problem`` says why it would fail."""

    dry_run: bool
    ok: bool
    model: str
    quantization: str
    size: int
    free: int
    targets: list[TargetAnswer]
    problem: str
    hint: str


_quantize_body = msgspec.json.Decoder(QuantizeBody)


def parse_quantize(body: bytes) -> Quantize:
    """Return the call that a body makes.

    Raises:
        RequestError: A field is missing, or not good.
    """
    asked = wire.decode(body, _quantize_body)
    request = QuantizeRequest(
        source=parse_name(asked),
        types=_types(asked.types),
        name=ModelName.parse(asked.name) if asked.name else None,
        tensors=_tensors(asked.tensors or {}),
        imatrix=_imatrix(asked.imatrix),
        requantizes=asked.requantize,
    )
    return Quantize(request, asked.dry_run)


def quantize_plan(plan: QuantizePlan) -> bytes:
    """Return what ``POST /api/quantize`` with ``dry_run`` answers."""
    targets = [
        TargetAnswer(
            type=one.file_type,
            name=str(one.name),
            size=one.n_bytes,
            memory=one.n_memory,
            context=one.n_ctx,
            bits_per_weight=one.bits,
            tensors=dict(one.counts),
            exists=one.exists,
        )
        for one in plan.targets
    ]
    return wire.encode(
        PlanAnswer(
            dry_run=True,
            ok=not plan.problem,
            model=str(plan.source),
            quantization=plan.quantization,
            size=plan.n_source,
            free=plan.n_free,
            targets=targets,
            problem=plan.problem,
            hint=plan.hint,
        )
    )


def _types(texts: list[str] | None) -> tuple[str, ...]:
    if texts is None:
        return (DEFAULT_FILE_TYPE,)
    if not 0 < len(texts) <= _MAX_TYPES:
        raise InvalidRequest(f"types must be 1 to {_MAX_TYPES}, not {len(texts)}", param="types")
    try:
        return tuple(dict.fromkeys(map(file_type, texts)))
    except ValueError as error:
        raise InvalidRequest(f"types: {error}", param="types") from None


def _tensors(patterns: dict[str, str]) -> tuple[tuple[str, str], ...]:
    for pattern in patterns:
        if not 0 < len(pattern) <= _MAX_PATTERN or "\0" in pattern:
            raise InvalidRequest(
                f"tensors: a pattern has 1 to {_MAX_PATTERN} characters", param="tensors"
            )
    return tuple(patterns.items())


def _imatrix(text: str | None) -> str:
    """A blob's digest, or a path."""
    if not text:
        return ""
    if match := _DIGEST.fullmatch(text):
        return f"sha256:{match[1].lower()}"
    if "\0" in text or not Path(text).is_absolute():
        raise InvalidRequest(
            f"imatrix must be a blob's digest or an absolute path, not '{text[:80]}'",
            param="imatrix",
        )
    return text

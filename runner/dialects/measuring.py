"""Corral's own JSON for what is measured of models: ``/api/perplexity``, ``bench``, ``quality``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from runner.dialects import wire
from runner.dialects.ollama import ModelBody, parse_name
from runner.domain.name import ModelName
from runner.domain.quality import (
    DEFAULT_WINDOW,
    BenchReport,
    BenchRequest,
    QualityReport,
    QualityRequest,
)
from runner.errors import InvalidRequest

#: Bounds of a window, in tokens.
_WINDOWS = (16, 32768)
_MAX_DEPTH, _MAX_AT_ONCE, _MAX_TOKENS, _MAX_REPEATS = 1 << 20, 64, 1 << 16, 20
#: Points of one measurement.
_MAX_POINTS = 16


class PerplexityBody(ModelBody):
    """``POST /api/perplexity``; without ``text`` a text of the program's own choice is read."""

    source: str | None = None
    text: str | None = None
    text_name: str = ""
    window: int = DEFAULT_WINDOW
    windows: int = 0


class BenchBody(ModelBody):
    """``POST /api/bench``; what is left out is as in ``BenchRequest``."""

    depths: list[int] | None = None
    concurrencies: list[int] | None = None
    prompt: int | None = None
    generate: int | None = None
    repeats: int | None = None


_perplexity_body = msgspec.json.Decoder(PerplexityBody)
_bench_body = msgspec.json.Decoder(BenchBody)


def parse_perplexity(body: bytes) -> QualityRequest:
    """Return what a body asks for.

    Raises:
        RequestError: A field is missing, or not good.
    """
    asked = wire.decode(body, _perplexity_body)
    if asked.text is not None and not asked.text.strip():
        raise InvalidRequest("text is empty", param="text")
    return QualityRequest(
        model=parse_name(asked),
        source=ModelName.parse(asked.source) if asked.source else None,
        text=asked.text,
        text_name=asked.text_name[:200],
        n_ctx=_within("window", asked.window, *_WINDOWS),
        n_windows=_within("windows", asked.windows, 0, 1 << 20),
    )


def parse_bench(body: bytes) -> BenchRequest:
    """Return what a body asks for; raises as ``parse_perplexity``."""
    asked = wire.decode(body, _bench_body)
    usual = BenchRequest(parse_name(asked))
    return BenchRequest(
        model=usual.model,
        depths=_each("depths", asked.depths, usual.depths, 0, _MAX_DEPTH),
        concurrencies=_each(
            "concurrencies", asked.concurrencies, usual.concurrencies, 1, _MAX_AT_ONCE
        ),
        n_prompt=_within("prompt", _or(asked.prompt, usual.n_prompt), 1, _MAX_TOKENS),
        n_generate=_within("generate", _or(asked.generate, usual.n_generate), 2, _MAX_TOKENS),
        n_repeats=_within("repeats", _or(asked.repeats, usual.n_repeats), 1, _MAX_REPEATS),
    )


def parse_query(query: Mapping[str, str]) -> ModelName:
    """Return the model that a query names.

    Raises:
        InvalidRequest: It names none.
        InvalidName: The name cannot be parsed.
    """
    text = query.get("model") or query.get("name") or ""
    if not text:
        raise InvalidRequest("model is required", hint="ask for ?model=NAME", param="model")
    return ModelName.parse(text)


def quality(name: ModelName, reports: Sequence[QualityReport]) -> bytes:
    """Return what ``GET /api/quality`` answers."""
    return wire.encode({"model": str(name), "reports": [quality_row(one) for one in reports]})


def quality_row(report: QualityReport) -> dict[str, Any]:
    """Return one report with the keys that callers see."""
    return {
        "time": report.time,
        "quantization": report.quantization,
        "size": report.n_bytes,
        "text": report.text,
        "text_sha256": report.text_sha256,
        "window": report.n_ctx,
        "windows": report.n_windows,
        "scored_tokens": report.n_scored,
        "perplexity": report.perplexity,
        "perplexity_error": report.perplexity_error,
        "tokens_per_s": report.tokens_per_s,
        "source": report.source,
        "source_perplexity": report.source_perplexity,
        "kld_mean": report.kld_mean,
        "kld_error": report.kld_error,
        "kld_p99": report.kld_p99,
        "top_1": report.top_1,
        "running": report.running,
        "source_running": report.source_running,
        "build": report.build,
    }


def benches(name: ModelName, reports: Sequence[BenchReport]) -> bytes:
    """Return what ``GET /api/bench`` answers."""
    return wire.encode({"model": str(name), "reports": [_bench_row(one) for one in reports]})


def _bench_row(report: BenchReport) -> dict[str, Any]:
    return {
        "time": report.time,
        "quantization": report.quantization,
        "prompt": report.n_prompt,
        "generate": report.n_generate,
        "repeats": report.n_repeats,
        "threads": report.n_threads,
        "load_s": report.load_s,
        "rows": [
            {
                "depth": row.depth,
                "concurrency": row.concurrency,
                "prompt_tps": row.prompt_tps,
                "generate_tps": row.generate_tps,
                "prompt_spread": row.prompt_spread,
                "generate_spread": row.generate_spread,
            }
            for row in report.rows
        ],
        "build": report.build,
    }


def _or(value: int | None, usual: int) -> int:
    return usual if value is None else value


def _within(field: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise InvalidRequest(f"{field} must be from {low} to {high}, not {value}", param=field)
    return value


def _each(
    field: str, values: list[int] | None, usual: tuple[int, ...], low: int, high: int
) -> tuple[int, ...]:
    if values is None:
        return usual
    if not 0 < len(values) <= _MAX_POINTS:
        raise InvalidRequest(
            f"{field} must be 1 to {_MAX_POINTS} numbers, not {len(values)}", param=field
        )
    return tuple(_within(field, value, low, high) for value in values)

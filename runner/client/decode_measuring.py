"""JSON of the daemon about what was measured of models, as domain objects."""

from __future__ import annotations

from runner.client.connection import Json
from runner.domain.quality import BenchReport, BenchRow, QualityReport


def qualities(value: Json) -> list[QualityReport]:
    """``GET /api/quality``."""
    return [quality(one) for one in value["reports"]]


def quality(value: Json) -> QualityReport:
    """One report of how good a model is; ``/api/show`` has the latest, too."""
    return QualityReport(
        time=str(value["time"]),
        quantization=str(value["quantization"]),
        n_bytes=int(value["size"]),
        text=str(value["text"]),
        text_sha256=str(value["text_sha256"]),
        n_ctx=int(value["window"]),
        n_windows=int(value["windows"]),
        n_scored=int(value["scored_tokens"]),
        perplexity=float(value["perplexity"]),
        perplexity_error=float(value["perplexity_error"]),
        tokens_per_s=float(value["tokens_per_s"]),
        source=str(value["source"]),
        source_perplexity=_number(value["source_perplexity"]),
        kld_mean=_number(value["kld_mean"]),
        kld_error=_number(value["kld_error"]),
        kld_p99=_number(value["kld_p99"]),
        top_1=_number(value["top_1"]),
        running=tuple(map(float, value["running"])),
        source_running=tuple(map(float, value["source_running"])),
        build=str(value["build"]),
    )


def benches(value: Json) -> list[BenchReport]:
    """``GET /api/bench``."""
    return [
        BenchReport(
            time=str(one["time"]),
            quantization=str(one["quantization"]),
            n_prompt=int(one["prompt"]),
            n_generate=int(one["generate"]),
            n_repeats=int(one["repeats"]),
            n_threads=int(one["threads"]),
            load_s=float(one["load_s"]),
            rows=tuple(
                BenchRow(
                    depth=int(row["depth"]),
                    concurrency=int(row["concurrency"]),
                    prompt_tps=float(row["prompt_tps"]),
                    generate_tps=float(row["generate_tps"]),
                    prompt_spread=float(row["prompt_spread"]),
                    generate_spread=float(row["generate_spread"]),
                )
                for row in one["rows"]
            ),
            build=str(one["build"]),
        )
        for one in value["reports"]
    ]


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)

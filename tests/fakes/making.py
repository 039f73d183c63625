"""Services that write models in other types, as far as the server can tell."""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.domain.job import Job, JobState
from runner.domain.name import ModelName
from runner.domain.quality import (
    BenchReport,
    BenchRequest,
    BenchRow,
    QualityReport,
    QualityRequest,
)
from runner.domain.quantize import QuantizePlan, QuantizeRequest, QuantizeTarget
from runner.server.making import Making


def a_job(kind: str, name: str) -> Job:
    return Job(7, kind, name, JobState.RUNNING, started=1_700_000_000.0)


@dataclass
class FakeQuantizes:
    """Remembers what is asked for; plans one target."""

    asked: list[QuantizeRequest] = field(default_factory=list)
    error: Exception | None = None

    async def plan(self, request: QuantizeRequest) -> QuantizePlan:
        self.asked.append(request)
        if self.error:
            raise self.error
        target = QuantizeTarget(
            "Q4_K_M", ModelName.parse("tiny:q4_k_m"), 40, 50, 4096, 4.5, {"Q4_K": 3}
        )
        return QuantizePlan(request.source, "F16", 100, 1000, (target,))

    async def begin(self, request: QuantizeRequest) -> Job:
        self.asked.append(request)
        if self.error:
            raise self.error
        return a_job("quantize", "tiny:q4_k_m")


QUALITY = QualityReport(
    time="2030-01-02T03:04:05+00:00",
    quantization="Q4_K_M",
    n_bytes=1000,
    text="a text",
    text_sha256="ab" * 32,
    n_ctx=512,
    n_windows=2,
    n_scored=510,
    perplexity=12.5,
    perplexity_error=0.25,
    tokens_per_s=99.5,
    source="tiny:f16",
    source_perplexity=12.25,
    kld_mean=0.01,
    kld_error=0.001,
    kld_p99=0.125,
    top_1=0.96,
    running=(13.0, 12.5),
    source_running=(12.75, 12.25),
    build="build",
)
BENCH = BenchReport(
    time="2030-01-02T03:04:05+00:00",
    quantization="Q4_K_M",
    n_prompt=256,
    n_generate=32,
    n_repeats=3,
    n_threads=2,
    load_s=0.5,
    rows=(BenchRow(0, 1, 100.5, 20.25, 0.1, 0.2), BenchRow(0, 4, 120.0, 60.0)),
    build="build",
)


@dataclass
class FakeMeasures:
    """Remembers what is asked for; knows one report of each kind."""

    asked: list[object] = field(default_factory=list)

    async def quality(self, name: ModelName) -> tuple[QualityReport, ...]:
        self.asked.append(name)
        return (QUALITY,)

    async def benches(self, name: ModelName) -> tuple[BenchReport, ...]:
        self.asked.append(name)
        return (BENCH,)

    async def begin_perplexity(self, request: QualityRequest) -> Job:
        self.asked.append(request)
        return a_job("perplexity", str(request.model))

    async def begin_bench(self, request: BenchRequest) -> Job:
        self.asked.append(request)
        return a_job("bench", str(request.model))


def fake_making() -> Making:
    return Making(FakeQuantizes(), FakeMeasures())

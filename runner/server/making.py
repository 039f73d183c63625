"""What the server needs of the services that write models in other types and measure them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from runner.domain.job import Job
from runner.domain.name import ModelName
from runner.domain.quality import BenchReport, BenchRequest, QualityReport, QualityRequest
from runner.domain.quantize import QuantizePlan, QuantizeRequest


class Quantizes(Protocol):
    """Models in smaller types; both may raise ``CorralError``."""

    async def plan(self, request: QuantizeRequest) -> QuantizePlan:
        """Return what it would make."""
        ...

    async def begin(self, request: QuantizeRequest) -> Job:
        """Begin a job that makes it."""
        ...


class Measures(Protocol):
    """How good and how fast models are; every call may raise ``CorralError``."""

    async def quality(self, name: ModelName) -> tuple[QualityReport, ...]:
        """Return what is known of how good a model is, the latest first."""
        ...

    async def benches(self, name: ModelName) -> tuple[BenchReport, ...]:
        """Return what is known of how fast it is, the latest first."""
        ...

    async def begin_perplexity(self, request: QualityRequest) -> Job:
        """Begin a job that measures how good it is."""
        ...

    async def begin_bench(self, request: BenchRequest) -> Job:
        """Begin a job that measures how fast it is."""
        ...


@dataclass(frozen=True, slots=True)
class Making:
    """All of them, for the handlers.

    Attributes:
        quantizes: Models in smaller types.
        measures: How good and how fast models are.
    """

    quantizes: Quantizes
    measures: Measures

"""``/metrics`` for Prometheus: counted here in plain numbers, written by its own library.

The library is imported when somebody asks for the first time, so that a daemon that nobody
watches neither waits for it nor holds it in memory.  Labels come from closed sets: routes, never
paths; names of models only where they are loaded.
"""

from __future__ import annotations

import bisect
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from runner.domain.event import Finished, TextDelta, ThinkingDelta, ToolCallDelta
from runner.server.answers import facts_of
from runner.server.connections import LEDGER
from runner.server.needs import NEEDS

if TYPE_CHECKING:
    from prometheus_client.core import Metric

#: Upper bounds in seconds.
_WAITS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_GAPS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

routes = web.RouteTableDef()


@dataclass(slots=True)
class Histogram:
    """How often a value fell below each bound."""

    bounds: tuple[float, ...]
    total: float = 0.0
    _counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return the bounds with the count of values up to each, ``+Inf`` last."""
        found, n_so_far = [], 0
        names = [*(f"{bound:g}" for bound in self.bounds), "+Inf"]
        for name, count in zip(names, self._counts, strict=True):
            n_so_far += count
            found.append((name, float(n_so_far)))
        return found


@dataclass(slots=True)
class Metrics:
    """What one daemon has counted since it started."""

    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    finishes: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    cached: Counter[str] = field(default_factory=Counter)
    seconds: Histogram = field(default_factory=lambda: Histogram(_WAITS))
    first: Histogram = field(default_factory=lambda: Histogram(_WAITS))
    gaps: Histogram = field(default_factory=lambda: Histogram(_GAPS))

    def count(self, request: web.Request, status: int, total_s: float) -> None:
        """Count a request that is over."""
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "none"
        known = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}
        method = request.method if request.method in known else "other"
        self.requests[method, route, str(status)] += 1
        self.seconds.add(total_s)
        if finished := facts_of(request).finished:
            self._count_answer(finished)

    def _count_answer(self, finished: Finished) -> None:
        usage, timings = finished.usage, finished.timings
        self.finishes[finished.reason.value] += 1
        self.tokens["prompt"] += usage.n_prompt - usage.n_cached
        self.tokens["cached"] += usage.n_cached
        self.hits[finished.hit.value] += 1
        if usage.n_cached:
            self.cached[finished.hit.value] += usage.n_cached
        self.tokens["generated"] += usage.n_generated
        if usage.n_generated:
            self.first.add(max(0.0, timings.total_s - timings.decode_s))


METRICS = web.AppKey("metrics", Metrics)


class GapClock:
    """Measures the time between two pieces of one answer."""

    def __init__(self, gaps: Histogram) -> None:
        self._gaps = gaps
        self._last_s: float | None = None

    def tick(self, event: object) -> None:
        """Something came; only pieces of the answer count."""
        if not isinstance(event, TextDelta | ThinkingDelta | ToolCallDelta):
            return
        now = time.monotonic()
        if self._last_s is not None:
            self._gaps.add(now - self._last_s)
        self._last_s = now


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """All figures, in Prometheus' text form."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_LATEST

    now = await _gauges(request)
    own = request.app[METRICS]

    class Collected:
        def collect(self) -> Iterator[Metric]:
            yield from _counted(own)
            yield from now

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected())
    return web.Response(
        body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


def _counted(own: Metrics) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    def counter(name: str, text: str, labels: Sequence[str], values: Counter[Any]) -> Metric:
        family = CounterMetricFamily(name, text, labels=labels)
        for key, value in sorted(values.items()):
            family.add_metric(key if isinstance(key, tuple) else (key,), value)
        return family

    def histogram(name: str, text: str, values: Histogram) -> Metric:
        family = HistogramMetricFamily(name, text)
        family.add_metric((), values.buckets(), values.total)
        return family

    yield counter(
        "corral_requests", "Requests that are over.", ("method", "route", "status"), own.requests
    )
    yield counter("corral_answers", "Answers by how they ended.", ("reason",), own.finishes)
    yield counter(
        "corral_tokens",
        "Tokens: computed for prompts, taken from the cache, generated.",
        ("kind",),
        own.tokens,
    )
    yield counter(
        "corral_cache_prompts_used",
        "Answers by where the beginning of their prompt came from; none: all was computed.",
        ("tier",),
        own.hits,
    )
    yield counter(
        "corral_cache_tokens_used",
        "Tokens of prompts that were not computed, by where they came from.",
        ("tier",),
        own.cached,
    )
    yield histogram("corral_request_seconds", "A request, from arrival to end.", own.seconds)
    yield histogram("corral_first_token_seconds", "From arrival to the first token.", own.first)
    yield histogram("corral_token_gap_seconds", "Between two pieces of a stream.", own.gaps)


async def _gauges(request: web.Request) -> list[Metric]:
    """What is so at this moment."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    needs = request.app[NEEDS]
    found: list[Metric] = []

    def gauge(name: str, text: str, rows: Mapping[str, float], label: str = "") -> None:
        family = GaugeMetricFamily(name, text, labels=[label] if label else [])
        for key, value in sorted(rows.items()):
            family.add_metric([key] if label else [], value)
        found.append(family)

    ongoing = Counter(row.state.value for row in await needs.requests.list_requests())
    gauge("corral_requests_now", "Requests on their way, by state.", dict(ongoing), "state")
    running = needs.models.running()
    gauge(
        "corral_model_bytes",
        "Memory of a loaded model's process.",
        {str(row.info.name): row.n_resident for row in running},
        "model",
    )
    kept = await needs.cache.report()
    gauge("corral_cache_resident_tokens", "Of contexts in use.", {"": kept.n_resident_tokens})
    gauge(
        "corral_cache_bytes",
        "What kept prompts take.",
        {"memory": kept.n_memory_bytes, "disk": kept.n_disk_bytes},
        "tier",
    )
    n_kept: dict[str, float] = {"memory": 0, "disk": 0}
    for prompt in kept.prompts:
        n_kept[prompt.tier.value] += 1
    gauge("corral_cache_prompts", "Kept prompts.", n_kept, "tier")
    machine = needs.machine.report()
    gauge("corral_memory_available_bytes", "Main memory that is free.", {"": machine.n_available})
    gauge("corral_daemon_bytes", "Memory of the daemon's process.", {"": machine.n_daemon})
    gauge("corral_connections", "Open connections.", {"": request.app[LEDGER].n_open})
    for name, text, value in (
        ("corral_model_loads", "Models loaded.", machine.n_loads),
        ("corral_model_evictions", "Models that had to go for another one.", machine.n_evictions),
    ):
        family = CounterMetricFamily(name, text)
        family.add_metric((), value)
        found.append(family)
    return found

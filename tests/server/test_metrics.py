"""``/metrics``: what is counted, and that Prometheus can read it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace

from hypothesis import given, strategies as st
from prometheus_client.parser import text_string_to_metric_families

from runner.domain.cache import Hit
from runner.domain.event import TextDelta
from runner.server.metrics import Histogram
from tests.fakes.service import FINISHED
from tests.server.serving import call

CHAT = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}]}


def figures(body):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def test_requests_tokens_and_times_are_counted(house):
    async def story():
        async with house.serve() as session:
            await call(session, "POST", "/api/chat", CHAT)
            cold = replace(FINISHED, usage=replace(FINISHED.usage, n_cached=0))
            house.inference.script = (TextDelta("Hi"), replace(cold, hit=Hit.NONE))
            await call(session, "POST", "/v1/chat/completions", CHAT)
            await call(session, "POST", "/api/chat", CHAT | {"model": "nope"})
            await call(session, "GET", "/wp-admin/one")
            await call(session, "PROPFIND", "/wp-admin/two")
            return await call(session, "GET", "/metrics")

    reply = asyncio.run(story())
    assert reply.headers["Content-Type"].startswith("text/plain")
    told = figures(reply.body)
    assert told["corral_requests_total", "/api/chat", "200", "POST"] == 1
    assert told["corral_requests_total", "/api/chat", "404", "POST"] == 1
    assert told["corral_requests_total", "404", "GET", "none"] == 1
    assert told["corral_answers_total", "stop"] == 2
    assert told["corral_cache_prompts_used_total", "none"] == 1
    assert told["corral_cache_prompts_used_total", "disk"] == 1
    assert told["corral_cache_tokens_used_total", "disk"] == 4
    assert told["corral_cache_bytes", "disk"] == 46_080_000
    assert told["corral_cache_prompts", "memory"] == 1
    assert told["corral_cache_resident_tokens",] == 480
    assert told["corral_tokens_total", "prompt"] == 18
    assert told["corral_tokens_total", "cached"] == 4
    assert told["corral_tokens_total", "generated"] == 6
    assert told["corral_first_token_seconds_count",] == 2
    assert told["corral_first_token_seconds_sum",] == 1.5
    assert told["corral_token_gap_seconds_count",] == 1  # two pieces of the one that streamed
    assert told["corral_request_seconds_count",] == 5
    assert told["corral_requests_now", "queued"] == 1
    assert told["corral_model_bytes", "smollm2:latest"] == 200_000_000
    assert told["corral_connections",] == 1
    assert told["corral_model_evictions_total",] == 1
    assert b"wp-admin" not in reply.body
    assert b"PROPFIND" not in reply.body


@given(st.lists(st.floats(0, 100)))
def test_a_histogram_counts_every_value_up_to_each_bound(values):
    histogram = Histogram((0.5, 1.0, 10.0))
    for value in values:
        histogram.add(value)
    told = dict(histogram.buckets())
    assert told["+Inf"] == len(values)
    for bound in histogram.bounds:
        assert told[f"{bound:g}"] == sum(value <= bound for value in values)


def test_the_library_is_loaded_only_for_who_asks():
    code = "import sys, runner.server.app; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0

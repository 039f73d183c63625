"""How much context a model gets, by property."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from runner.gguf.memory import kv_cache_bytes
from runner.gguf.metadata import describe
from runner.gguf.reader import read_header
from runner.service.sizing import choose_sizes
from tests.fakes.models import tiny_model

GIB = 1 << 30


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    path = tiny_model(tmp_path_factory.mktemp("sizing") / "tiny.gguf", n_ctx_train=8192)
    return describe(read_header(path))


n_train = st.sampled_from([0, 64, 2048, 8192, 40960, 1 << 20])
memory = st.integers(1 << 20, 1 << 42)


@given(asked=st.integers(0, 1 << 24), n_train=n_train, memory_bytes=memory)
def test_a_context_is_never_beyond_what_the_model_was_trained_for(
    facts, asked, n_train, memory_bytes
):
    sizes = choose_sizes(
        replace(facts, n_ctx_train=n_train), asked=asked, memory_bytes=memory_bytes
    )
    assert 1 <= sizes.n_ctx <= (n_train or 4096)
    assert sizes.n_ctx <= sizes.n_cells <= 4 * sizes.n_ctx
    n_fits = memory_bytes // 2 // kv_cache_bytes(1, facts.kv_widths)
    if asked:
        assert sizes.n_ctx == min(asked, n_train or 4096, max(4096, n_fits))


@given(n_train=n_train, a=memory, b=memory)
def test_more_memory_never_means_less_context(facts, n_train, a, b):
    some = replace(facts, n_ctx_train=n_train)
    small, large = (choose_sizes(some, asked=0, memory_bytes=m) for m in sorted((a, b)))
    assert small.n_ctx <= large.n_ctx
    assert small.n_cells <= large.n_cells


@given(memory_bytes=st.integers(GIB, 1 << 42))
def test_unasked_the_cache_takes_a_small_share_of_memory(facts, memory_bytes):
    sizes = choose_sizes(replace(facts, n_ctx_train=1 << 20), asked=0, memory_bytes=memory_bytes)
    n_bytes = kv_cache_bytes(sizes.n_cells, facts.kv_widths)
    least = kv_cache_bytes(4096, facts.kv_widths)
    assert n_bytes <= max(memory_bytes // 16, least)
    assert 4096 <= sizes.n_ctx <= 32768


def test_a_small_model_on_a_usual_machine_gets_all_it_was_trained_for(facts):
    sizes = choose_sizes(facts, asked=0, memory_bytes=8 * GIB)
    assert (sizes.n_ctx, sizes.n_cells) == (8192, 32768)


@given(asked=st.integers(0, 1 << 24), memory_bytes=memory)
def test_a_draft_model_s_cache_is_counted_beside_the_model_s(facts, asked, memory_bytes):
    large = replace(facts, n_ctx_train=1 << 20)
    both = choose_sizes(large, asked=asked, memory_bytes=memory_bytes, draft=large)
    half = choose_sizes(large, asked=asked, memory_bytes=memory_bytes // 2)
    assert both == half

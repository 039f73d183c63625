"""Sizes are the ones that llama.cpp allocates."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from runner.gguf.memory import kv_cache_bytes, weights_bytes
from runner.gguf.metadata import describe
from runner.gguf.reader import read_header
from runner.hub.packaged import find_starter


def test_the_starter_needs_22_5_kib_of_cache_a_token():
    """The figure that llama.cpp's own saved state shows for this model."""
    path = find_starter()
    assert path is not None
    header = read_header(path)
    assert kv_cache_bytes(1, describe(header).kv_widths) == 22.5 * 1024
    assert weights_bytes(header) == describe(header).n_weights_bytes
    assert weights_bytes(header) <= header.n_file_bytes - header.data_offset


widths = st.lists(st.tuples(st.integers(0, 4096), st.integers(0, 4096)), max_size=8)


@settings(deadline=None)
@given(n_ctx=st.integers(1, 10**6), kv=widths)
def test_the_cache_grows_with_its_cells_and_shrinks_with_its_bits(n_ctx, kv):
    whole = kv_cache_bytes(n_ctx, kv)
    assert whole == n_ctx * 2 * sum(k + v for k, v in kv)
    assert kv_cache_bytes(2 * n_ctx, kv) == 2 * whole
    assert kv_cache_bytes(n_ctx, kv, k_bits=8, v_bits=8) == whole // 2


@pytest.mark.parametrize("n_ctx", [0, -1])
def test_a_cache_has_cells(n_ctx):
    with pytest.raises(ValueError, match=str(n_ctx)):
        kv_cache_bytes(n_ctx, [(1, 1)])

"""Sizes are the ones that llama.cpp allocates; against the engine itself: ``tests/engine``."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from runner.gguf.layers import Layer, Shape, shape_of
from runner.gguf.memory import (
    KV_BITS,
    Plan,
    device_bytes,
    estimate,
    estimate_shape,
    kv_cache_bytes,
    projector_bytes,
    weights_bytes,
)
from runner.gguf.metadata import describe
from runner.gguf.reader import Header, TensorInfo, read_header
from runner.hub.packaged import find_starter


def header_of(metadata, tensors=()):
    return Header(3, metadata, tuple(tensors), 32, 0, 0)


def tensor(name, n_bytes=100):
    return TensorInfo(name, 0, "F32", (n_bytes // 4,), 0, n_bytes)


def keys(name, n_layer=4, **more):
    base = {
        "general.architecture": name,
        f"{name}.block_count": n_layer,
        f"{name}.embedding_length": 64,
        f"{name}.feed_forward_length": 128,
        f"{name}.attention.head_count": 4,
        f"{name}.attention.head_count_kv": 2,
        "tokenizer.ggml.tokens": ("a",) * 100,
    }
    return base | {f"{name}.{key}": value for key, value in more.items()}


def shape(name, n_layer=4, **more):
    return shape_of(header_of(keys(name, n_layer, **more)))


def test_the_starter_needs_22_5_kib_of_cache_a_token():
    """The figure that llama.cpp's own saved state shows for this model."""
    path = find_starter()
    assert path is not None
    header = read_header(path)
    assert kv_cache_bytes(1, describe(header).kv_widths) == 22.5 * 1024
    assert weights_bytes(header) == describe(header).n_weights_bytes
    assert weights_bytes(header) <= header.n_file_bytes - header.data_offset
    assert estimate(header, Plan(1000)).n_kv == 1024 * 22.5 * 1024


widths = st.lists(st.tuples(st.integers(0, 4096), st.integers(0, 4096)), max_size=8)


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
    with pytest.raises(ValueError, match=str(n_ctx)):
        estimate_shape(shape("llama"), Plan(n_ctx))


def test_a_type_that_no_cache_has_is_named():
    with pytest.raises(ValueError, match="q9"):
        estimate_shape(shape("llama"), Plan(256, kv_types=("f16", "q9")))


def test_latent_attention_keeps_keys_alone():
    """DeepSeek: one head of the latent's width, from which the values are read, too."""
    more = {"attention.key_length_mla": 192, "attention.value_length_mla": 128}
    found = shape(
        "deepseek2",
        **more,
        **{"attention.key_length": 576, "attention.value_length": 512},
        **{"attention.head_count_kv": 1},
    )
    assert [(layer.k_width, layer.v_width) for layer in found.layers] == [(576, 0)] * 4


def test_an_indexer_keeps_a_key_more():
    more = {"attention.key_length": 32, "attention.indexer.key_length": 128}
    assert {layer.k_width for layer in shape("deepseek32", **more).layers} == {2 * 32 + 128}


@pytest.mark.parametrize(
    ("name", "more", "whole"),
    [
        ("gemma3", {}, {5, 11}),
        ("gpt-oss", {}, {1, 3, 5, 7, 9, 11}),
        ("cohere2moe", {}, {0, 4, 8}),
        ("gemma3", {"attention.sliding_window_pattern": 3}, {2, 5, 8, 11}),
        ("gemma3", {"attention.sliding_window_pattern": (False, True) * 6}, set(range(0, 12, 2))),
        ("step35", {"attention.sliding_window_pattern": (True, False) * 6}, set(range(1, 12, 2))),
        ("phi3", {}, set(range(12))),
        ("gemma3", {"attention.sliding_window": 0}, set(range(12))),
    ],
)
def test_which_layers_have_a_window(name, more, whole):
    """As llama.cpp has it for each architecture; most files do not say it themselves."""
    found = shape(name, 12, **({"attention.sliding_window": 512} | more))
    assert {n for n, layer in enumerate(found.layers) if not layer.has_window} == whole


def test_a_window_needs_cells_for_what_it_sees_and_a_step():
    found = shape("gemma3", 6, **{"attention.sliding_window": 1024})
    n_one = kv_cache_bytes(1, [(32, 32)])
    kept = estimate_shape(found, Plan(32768, 2, n_batch=512)).n_kv
    assert kept == n_one * (32768 + 5 * (2 * 1024 + 512))
    whole = estimate_shape(found, Plan(32768, 2, is_whole_window=True)).n_kv
    assert whole == n_one * 6 * 32768


def test_layers_with_a_state_keep_it_for_each_sequence_whatever_the_context():
    more = {
        "full_attention_interval": 4,
        "ssm.conv_kernel": 4,
        "ssm.inner_size": 256,
        "ssm.state_size": 16,
        "ssm.group_count": 2,
    }
    found = shape("qwen35", 8, **more)
    a_state = 3 * (256 + 2 * 2 * 16) + 16 * 256
    assert [layer.n_state for layer in found.layers] == [a_state] * 3 + [0] + [a_state] * 3 + [0]
    assert [bool(layer.k_width) for layer in found.layers] == [False, False, False, True] * 2
    small, large = (estimate_shape(found, Plan(256, n)).n_kv for n in (1, 5))
    assert large - small == 4 * 6 * 4 * a_state


def test_layers_that_share_an_earlier_cache_have_none():
    found = shape("gemma4", 4, **{"attention.shared_kv_layers": 3})
    assert [bool(layer.k_width) for layer in found.layers] == [True, False, False, False]


def test_layers_go_to_the_accelerator_from_the_last_one_on():
    tensors = [tensor("token_embd.weight", 4000), tensor("output.weight", 8000)]
    tensors += [tensor(f"blk.{n}.ffn_up.weight", 1000) for n in range(4)]
    found = shape_of(header_of(keys("llama"), tensors))
    moved = [
        estimate_shape(found, Plan(256, n_gpu_layers=n)).n_weights_accelerator for n in range(7)
    ]
    assert moved == [0, 8000, 9000, 10000, 11000, 12000, 12000]
    everything = estimate_shape(found, Plan(256, n_gpu_layers=-1))
    assert everything.n_weights_accelerator == 12000
    assert everything.n_total - everything.n_accelerator == 4000 + everything.n_output


def test_experts_may_stay_in_main_memory():
    tensors = [tensor("output.weight", 8000), tensor("token_embd.weight", 4000)]
    tensors += [tensor(f"blk.{n}.ffn_up_exps.weight", 1000) for n in range(4)]
    tensors += [tensor(f"blk.{n}.attn_q.weight", 10) for n in range(4)]
    more = {"expert_count": 8, "expert_used_count": 2}
    found = shape_of(header_of(keys("qwen3moe", **more), tensors))
    plan = Plan(256, n_gpu_layers=-1)
    assert estimate_shape(found, plan).n_weights_accelerator == 12040
    for n_cpu_moe, n_bytes in ((-1, 8040), (1, 11040), (9, 8040)):
        there = estimate_shape(found, replace(plan, n_cpu_moe=n_cpu_moe))
        assert there.n_weights_accelerator == n_bytes


def test_a_projector_counts_with_what_looking_takes():
    metadata = {
        "general.architecture": "clip",
        "clip.vision.image_size": 224,
        "clip.vision.patch_size": 14,
        "clip.vision.attention.head_count": 16,
        "clip.vision.embedding_length": 1024,
        "clip.vision.feed_forward_length": 4096,
    }
    projector = header_of(metadata, [tensor("v.patch_embd.weight", 5000)])
    n_bytes = projector_bytes(projector)
    assert n_bytes == 5000 + 4 * 256 * (256 * 16 + 2 * 4096 + 4 * 1024)
    model = header_of(keys("llama"))
    with_it = estimate(model, Plan(256), projector=projector)
    assert with_it.n_total == estimate(model, Plan(256)).n_total + n_bytes


layers = st.builds(
    Layer,
    k_width=st.integers(0, 512),
    v_width=st.integers(0, 512),
    has_window=st.booleans(),
    n_state=st.integers(0, 512),
    n_weights=st.integers(0, 10**6),
    n_experts=st.just(0),
)
shapes = st.builds(
    Shape,
    layers=st.lists(layers, min_size=1, max_size=6).map(tuple),
    n_window=st.integers(1, 4096),
    n_input=st.integers(0, 10**6),
    n_output=st.integers(0, 10**6),
    n_vocab=st.integers(1, 10**5),
    n_embd=st.integers(1, 512),
    n_head=st.integers(1, 16),
    q_width=st.integers(1, 512),
    ff_width=st.integers(1, 4096),
    inner_width=st.integers(0, 512),
    norms_output=st.booleans(),
    has_memory=st.booleans(),
    n_ctx_train=st.integers(0, 10**6),
)
plans = st.builds(
    Plan,
    n_cells=st.integers(1, 10**6),
    n_seq_max=st.integers(1, 256),
    n_batch=st.integers(1, 4096),
    n_ubatch=st.integers(1, 512),
    kv_types=st.tuples(st.sampled_from(list(KV_BITS)), st.sampled_from(list(KV_BITS))),
    flash_attention=st.sampled_from([None, True, False]),
    n_gpu_layers=st.integers(-1, 8),
)


@given(found=shapes, plan=plans)
def test_no_part_is_negative_and_the_devices_hold_all_of_it(found, plan):
    told = estimate_shape(found, plan)
    parts = (told.n_weights, told.n_kv, told.n_compute, told.n_output, told.n_projector)
    assert min(parts) >= 0
    assert sum(parts) == told.n_total
    assert 0 <= told.n_weights_accelerator <= told.n_accelerator
    assert told.n_private >= told.n_output


@given(found=shapes, plan=plans, more=st.integers(0, 10**6))
def test_more_context_never_needs_less(found, plan, more):
    larger = estimate_shape(found, replace(plan, n_cells=plan.n_cells + more))
    small = estimate_shape(found, plan)
    assert larger.n_kv >= small.n_kv
    assert larger.n_total >= small.n_total


@given(found=shapes, plan=plans)
def test_more_layers_on_the_accelerator_never_leave_more_in_main_memory(found, plan):
    numbers = range(1, len(found.layers) + 2)
    told = [estimate_shape(found, replace(plan, n_gpu_layers=n)) for n in numbers]
    sizes = [one.n_total - one.n_accelerator for one in told]
    assert sizes == sorted(sizes, reverse=True)


@given(found=shapes, plan=plans, n=st.integers(0, 7))
def test_one_accelerator_takes_all_that_is_on_accelerators(found, plan, n):
    n = min(n, len(found.layers) + 1)
    whole = estimate_shape(found, replace(plan, n_gpu_layers=n))
    assert device_bytes(found, plan, [n]) == [whole.n_accelerator]


@given(found=shapes, plan=plans, counts=st.lists(st.integers(0, 3), max_size=4))
def test_several_accelerators_share_the_layers_and_each_computes(found, plan, counts):
    while sum(counts) > len(found.layers) + 1:
        counts.pop()
    several = device_bytes(found, plan, counts)
    (one,) = device_bytes(found, plan, [sum(counts)])
    assert all((n_bytes > 0) >= (n > 0) for n, n_bytes in zip(counts, several, strict=True))
    assert all(n_bytes == 0 for n, n_bytes in zip(counts, several, strict=True) if n == 0)
    assert sum(several) >= one

"""What a model that found no memory goes without: by property."""

from __future__ import annotations

from hypothesis import given, strategies as st
from msgspec.structs import replace

from runner.protocol.messages import Load
from runner.workers.lesser import lesser, within

loads = st.builds(
    Load,
    request_id=st.just("r"),
    path=st.just("p"),
    n_ctx=st.integers(4, 1 << 20),
    n_cells=st.integers(4, 1 << 22),
    n_seq_max=st.integers(1, 16),
    n_gpu_layers=st.integers(-1, 100),
    n_host_bytes=st.integers(0, 1 << 30),
    n_batch=st.integers(1, 4096),
).map(lambda load: replace(load, n_cells=max(load.n_ctx, load.n_cells)))


@given(loads, st.integers(4, 1 << 20), st.booleans(), st.booleans())
def test_each_step_takes_less_until_what_is_needed_is_left(load, n_least, has_device, is_fault):
    n_least = min(n_least, load.n_ctx)
    n_steps = 0
    known = {"n_layers": 40, "has_accelerator": has_device, "is_fault": is_fault}
    while less := lesser(load, n_least=n_least, **known):
        smaller = less.load
        assert n_least <= smaller.n_ctx <= load.n_ctx
        assert smaller.n_ctx <= smaller.n_cells <= load.n_cells
        assert smaller.n_host_bytes <= load.n_host_bytes
        assert smaller.n_batch <= load.n_batch
        assert smaller != load
        assert less.note
        load, n_steps = smaller, n_steps + 1
        assert n_steps < 40
    assert load.n_ctx == n_least
    assert load.n_host_bytes == 0
    if has_device:
        assert load.n_gpu_layers == 0


def test_the_context_is_the_last_thing_to_go():
    load = Load("r", "p", 8192, 32768, 16, n_host_bytes=1, n_gpu_layers=-1)
    notes = []
    while less := lesser(load, n_least=4096, n_layers=29, has_accelerator=True):
        load = less.load
        notes.append(less.note)
    assert notes[0] == "the cache holds 8192 tokens instead of 32768"
    assert notes[1] == "14 layers are on the accelerator instead of 29"
    assert notes[-2] == "a step computes 64 tokens instead of 512"
    assert notes[-1] == "the context is 4096 tokens instead of 8192"


def test_after_a_fault_layers_leave_the_accelerator_first():
    load = Load("r", "p", 8192, 32768, 16, n_gpu_layers=-1)
    notes = []
    for _ in range(3):
        less = lesser(load, n_least=4096, n_layers=2, has_accelerator=True, is_fault=True)
        load = less.load
        notes.append(less.note)
    assert notes == [
        "0 layers are on the accelerator instead of 2",
        "the cache holds 8192 tokens instead of 32768",
        "a step computes 64 tokens instead of 512",
    ]


def test_prompts_beside_the_cache_go_where_the_cache_holds_one_conversation():
    load = Load("r", "p", 8192, 8192, 16, n_host_bytes=1)
    less = lesser(load, n_least=8192)
    assert (less.note, less.load.n_host_bytes) == ("no prompts are kept beside the cache", 0)


@given(loads, loads, st.integers(4, 1 << 20))
def test_what_worked_before_is_not_gone_beyond_but_for_what_is_needed(load, known, n_least):
    made = within(load, known, n_least=n_least)
    assert n_least <= made.n_ctx <= max(n_least, known.n_ctx)
    assert made.n_ctx <= made.n_cells
    assert made.n_host_bytes <= known.n_host_bytes
    assert made.n_batch == min(load.n_batch, known.n_batch)
    assert made.path == load.path

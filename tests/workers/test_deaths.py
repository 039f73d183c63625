"""What a process died of: by its exit code, its last words, and the kernel's own count."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given, strategies as st

from runner.workers.deaths import (
    died_of_want,
    is_fault,
    n_oom_kills,
    says_want_of_memory,
    was_struck_down,
)

SAID = [
    "ggml_aligned_malloc: insufficient memory (attempted to allocate 180.00 MB)",
    "alloc_tensor_range: failed to allocate CPU buffer of size 188743680",
    "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 512 MiB failed: out of memory",
    "terminate called after throwing an instance of 'std::bad_alloc'",
    "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 64.0 MiB",
    "MemoryError",
    "RuntimeError: can't start new thread",
    "ImportError: /lib/_core.so: failed to map segment from shared object",
    "OSError: [Errno 12] Cannot allocate memory",
    "libgomp: Thread creation failed: Resource temporarily unavailable",
]
UNSAID = ["GGML_ASSERT(n > 0) failed", "missing tensor 'blk.0.ffn_up.weight'", "ValueError: no", ""]
counts = st.none() | st.integers(0, 5)


@pytest.mark.parametrize("text", SAID)
def test_words_for_want_of_memory_are_known(text):
    assert says_want_of_memory(text)
    assert died_of_want(-signal.SIGABRT, ["loading", text], 3, 3)


@pytest.mark.parametrize("text", UNSAID)
def test_other_words_are_none(text):
    assert not says_want_of_memory(text)
    assert not died_of_want(-signal.SIGABRT, [text], 3, 3)


@given(st.lists(st.sampled_from(SAID + UNSAID), max_size=3), counts, counts)
def test_who_ended_in_good_order_died_of_nothing(tail, before, after):
    assert not died_of_want(0, tail, before, after)


@pytest.mark.parametrize(
    ("before", "after", "is_want"),
    [(3, 4, True), (3, 3, False), (None, None, True), (None, 3, True), (3, None, True)],
)
def test_a_kill_is_the_kernels_when_it_counted_one_or_does_not_count(before, after, is_want):
    assert died_of_want(-9, [], before, after) is is_want


@pytest.mark.parametrize("code", [-signal.SIGSEGV, -signal.SIGTERM, 1, 3])
def test_another_death_in_silence_is_no_want_of_memory(code):
    assert not died_of_want(code, [], 3, 4)


@pytest.mark.parametrize(
    ("code", "is_struck", "is_own_fault"),
    [
        (0, False, False),
        (3, False, False),
        (-signal.SIGSEGV, True, True),
        (-signal.SIGABRT, True, True),
        (-9, True, False),
        (-signal.SIGTERM, True, False),
        (0xC0000005, True, True),
    ],
)
def test_a_signal_strikes_down_and_one_that_was_sent_is_no_fault(code, is_struck, is_own_fault):
    assert was_struck_down(code) is is_struck
    assert is_fault(code) is is_own_fault


def test_windows_says_it_by_the_exit_code():
    assert died_of_want(0xC0000017, [], None, None)
    assert not died_of_want(0xC0000005, [], None, None)


def test_the_kernels_count_is_read_where_there_is_one(tmp_path):
    path = tmp_path / "vmstat"
    assert n_oom_kills(path) is None
    path.write_text("nr_free_pages 5\noom_kill 12\noom_kill_other 3\n")
    assert n_oom_kills(path) == 12
    path.write_text("nr_free_pages 5\noom_kill many\n")
    assert n_oom_kills(path) is None

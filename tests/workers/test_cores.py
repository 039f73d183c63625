"""Threads are shared out fairly, never outnumber the cores, and leave room for other programs."""

from __future__ import annotations

from hypothesis import given, strategies as st

from runner.workers.cores import left_to_others, shared_out

wants = st.lists(st.integers(1, 16), min_size=1, max_size=8)
cores = st.integers(1, 64)


@given(wants, cores)
def test_everyone_has_a_thread_and_nobody_more_than_it_wants(wants, n_cores):
    shares = shared_out(wants, n_cores)
    assert len(shares) == len(wants)
    assert all(1 <= share <= want for share, want in zip(shares, wants, strict=True))


@given(wants, cores)
def test_threads_outnumber_the_cores_only_when_the_models_do(wants, n_cores):
    assert sum(shared_out(wants, n_cores)) == min(sum(wants), max(n_cores, len(wants)))


@given(wants, cores)
def test_of_two_that_both_want_more_none_has_two_more_than_the_other(wants, n_cores):
    shares = shared_out(wants, n_cores)
    cut = [share for share, want in zip(shares, wants, strict=True) if share < want]
    assert not cut or max(cut) - min(cut) <= 1
    assert cut == sorted(cut, reverse=True), "the first ones have the larger part"
    assert not cut or max(shares) - min(cut) <= 1, "who wants little leaves the rest to others"


@given(st.integers(1, 64))
def test_one_alone_has_all_that_it_wants(n_cores):
    assert shared_out([n_cores], n_cores) == [n_cores]
    assert shared_out([n_cores, n_cores], 2 * n_cores) == [n_cores, n_cores]


@given(st.floats(0, 80), st.integers(0, 64), st.integers(1, 64))
def test_others_never_get_the_last_core(n_foreign, before, n_cores):
    assert 0 <= left_to_others(n_foreign, before, n_cores) <= n_cores - 1


@given(st.floats(0, 80), st.integers(0, 64), st.integers(1, 64))
def test_what_was_decided_stays_while_the_load_does(n_foreign, before, n_cores):
    decided = left_to_others(n_foreign, before, n_cores)
    assert left_to_others(n_foreign, decided, n_cores) == decided


@given(st.integers(0, 7), st.integers(0, 7), st.integers(2, 16))
def test_whole_busy_cores_are_left_to_those_who_keep_them_busy(n_busy, before, n_cores):
    assert left_to_others(float(n_busy), before, n_cores) == min(n_busy, n_cores - 1)


@given(st.floats(0, 16), st.floats(0, 4), st.integers(0, 15), st.integers(2, 16))
def test_more_load_never_leaves_fewer_cores(n_foreign, more, before, n_cores):
    assert left_to_others(n_foreign, before, n_cores) <= left_to_others(
        n_foreign + more, before, n_cores
    )


def test_a_busy_program_is_seen_although_it_must_share_its_core_with_our_threads():
    """Beside as many threads of ours as there are cores, it has n / (n + 1) of one."""
    for n_cores in range(2, 64):
        assert left_to_others(n_cores / (n_cores + 1), 0, n_cores) == 1


def test_small_changes_around_the_border_change_nothing():
    assert left_to_others(0.45, 0, 2) == 0
    assert left_to_others(0.5, 0, 2) == 1
    assert left_to_others(0.45, 1, 2) == 1
    assert left_to_others(0.3, 1, 2) == 0

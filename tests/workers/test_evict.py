"""Who goes when another model must fit: by property."""

from __future__ import annotations

from hypothesis import given, strategies as st

from runner.workers.evict import Candidate, choose

candidates = st.lists(
    st.tuples(st.integers(0, 2), st.floats(0, 100)), max_size=8
).map(lambda rows: [Candidate(str(i), n, at) for i, (n, at) in enumerate(rows)])  # fmt: skip


@given(candidates, st.integers(1, 8))
def test_just_enough_idle_ones_go_and_the_longest_unused_first(resident, max_resident):
    keys = choose(resident, max_resident=max_resident)
    idle = {c.key: c.last_used_s for c in resident if not c.n_active}
    n_over = len(resident) + 1 - max_resident
    if keys is None:
        assert n_over > len(idle)
        return
    assert set(keys) <= set(idle)
    assert len(keys) == max(0, n_over)
    stay = [at for key, at in idle.items() if key not in keys]
    assert all(idle[key] <= at for key in keys for at in stay)


def test_an_answering_model_stays_however_old():
    resident = [Candidate("old", 1, 0.0), Candidate("new", 0, 9.0)]
    assert choose(resident, max_resident=2) == ["new"]
    assert choose(resident[:1], max_resident=1) is None

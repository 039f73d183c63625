"""Who goes when another model must fit: by property."""

from __future__ import annotations

import itertools

from hypothesis import given, strategies as st

from runner.workers.evict import Candidate, Shortage, choose

sizes = st.integers(0, 100)
candidates = st.lists(
    st.builds(
        Candidate,
        key=st.just(""),
        n_active=st.integers(0, 1),
        idle_s=st.floats(0, 100),
        reload_s=st.floats(0, 60),
        n_bytes=sizes,
        n_private=sizes,
        is_pinned=st.booleans(),
    ),
    max_size=6,
).map(lambda rows: [named(row, str(number)) for number, row in enumerate(rows)])
shortages = st.builds(Shortage, st.integers(-2, 4), st.integers(-50, 250), st.integers(-50, 250))


def named(row, key):
    return Candidate(
        key, row.n_active, row.idle_s, row.reload_s, row.n_bytes, row.n_private, row.is_pinned
    )


@given(candidates, shortages)
def test_enough_idle_ones_go_and_none_that_need_not(resident, shortage):
    keys = choose(resident, shortage)
    idle = {one.key: one for one in resident if not one.n_active and not one.is_pinned}
    if keys is None:
        assert not shortage.is_met(list(idle.values()))
        return
    assert set(keys) <= set(idle)
    going = [idle[key] for key in keys]
    assert shortage.is_met(going)
    for n in range(len(going)):
        assert not shortage.is_met(going[:n] + going[n + 1 :])


@given(candidates, shortages)
def test_somebody_goes_whenever_that_can_help(resident, shortage):
    idle = [one for one in resident if not one.n_active and not one.is_pinned]
    can = any(
        shortage.is_met(some)
        for n in range(len(idle) + 1)
        for some in itertools.combinations(idle, n)
    )
    assert (choose(resident, shortage) is not None) == can


def test_an_answering_or_pinned_model_stays_however_old():
    resident = [
        Candidate("busy", 1, 900.0),
        Candidate("pinned", 0, 900.0, is_pinned=True),
        Candidate("new", 0, 1.0),
    ]
    assert choose(resident, Shortage(1)) == ["new"]
    assert choose(resident, Shortage(2)) is None


def test_of_two_alike_the_longer_unused_goes():
    resident = [Candidate("new", 0, 5.0), Candidate("old", 0, 50.0)]
    assert choose(resident, Shortage(1)) == ["old"]


def test_what_takes_long_to_load_again_is_worth_waiting_for():
    """A large model that was used a little earlier stays, a small one goes."""
    resident = [Candidate("large", 0, 60.0, reload_s=40.0), Candidate("small", 0, 40.0)]
    assert choose(resident, Shortage(1)) == ["small"]


def test_the_one_that_frees_enough_goes_alone():
    """Three small ones would have to go for what one large one gives."""
    resident = [Candidate(key, 0, 30.0, 1.0, 10, 10) for key in "abc"]
    resident.append(Candidate("large", 0, 30.0, 2.0, 100, 100))
    assert choose(resident, Shortage(0, 30, 30)) == ["large"]

"""Speed: what is measured, and that every number comes from an answer of the engine."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.errors import InvalidRequest
from runner.protocol.tasks import Time, Weights
from runner.tools.bench import points, run

some = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(tuple)


@given(depths=some, concurrencies=some)
def test_each_depth_is_measured_alone_and_several_at_once_at_the_least(depths, concurrencies):
    found = points(depths, concurrencies)
    assert len(set(found)) == len(found)
    assert {depth for depth, n in found if n == 1} == set(depths)
    assert {n for _, n in found if n > 1} == {n for n in concurrencies if n > 1}
    assert {depth for depth, n in found if n > 1} <= {min(depths)}


def test_every_point_has_speeds(wide):
    task = Time(Weights((str(wide),)), (0, 32), (1, 3), 16, 4, 2, n_threads=1)
    told = []
    found = run(task, told.append)
    assert [(row.depth, row.concurrency) for row in found.rows] == [(0, 1), (32, 1), (0, 3)]
    assert all(row.prompt_tps > 0 and row.generate_tps > 0 for row in found.rows)
    assert (found.n_threads, found.load_s > 0, bool(found.build)) == (1, True, True)
    assert [moment.phase for moment in told[1:]] == [
        f"timing depth {depth}, {n} at once, {number} of 2"
        for depth, n in ((0, 1), (32, 1), (0, 3))
        for number in (1, 2)
    ]


def test_a_depth_beyond_the_models_context_is_refused_by_its_field(wide):
    task = Time(Weights((str(wide),)), (1000,), (1,), 64, 4, 1, n_threads=1)
    with pytest.raises(InvalidRequest, match="holds 1024 tokens; depth 1000 needs 1068") as caught:
        run(task, lambda _: None)
    assert caught.value.param == "depths"

"""Which models are offered first."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from gui.suggest import GB, STARTER, Room, look, suggest

rooms = st.builds(
    Room, st.just("x"), st.integers(1, 64), st.integers(0, 256 * GB), st.integers(0, 999 * GB)
)


@given(room=rooms)
def test_one_to_three_are_offered_and_all_but_the_starter_fit(room):
    offered = suggest(room)
    assert 1 <= len(offered) <= 3
    assert offered[0] is STARTER
    for model in offered[1:]:
        assert model.n_bytes <= room.n_memory / 2 and model.n_bytes < room.n_disk


@given(room=rooms)
def test_more_memory_never_offers_a_smaller_largest(room):
    larger = Room(room.processor, room.n_cores, room.n_memory * 2, room.n_disk)
    assert suggest(larger)[-1].n_bytes >= suggest(room)[-1].n_bytes


@pytest.mark.blocking
def test_this_machine_is_measured_where_the_folder_is_not_made_yet(tmp_path):
    room = look(tmp_path / "not" / "there")
    assert room.n_memory > 0 and room.n_disk > 0 and room.n_cores > 0 and room.processor

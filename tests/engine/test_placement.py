"""Which devices get how many layers: by property."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.domain.device_order import chosen
from runner.engine.placement import Need, Place, fewer, in_order, spread
from runner.errors import DeviceError

GIB = 1 << 30


def place(name, n_free=8 * GIB, kind="gpu", **more):
    return Place(name, kind, n_free, **more)


CPU = place("CPU", kind="cpu")
CUDA0, CUDA1 = place("CUDA0"), place("CUDA1")
IGPU = place("Vulkan0", kind="igpu")
FAR = place("10.0.0.5:11435", is_remote=True)
ALL = [CPU, CUDA0, CUDA1, IGPU, FAR]

places = st.lists(
    st.tuples(st.integers(0, 64 * GIB), st.booleans()), max_size=5
).map(lambda rows: [place(f"D{i}", n, is_remote=r) for i, (n, r) in enumerate(rows)])  # fmt: skip
needs = st.builds(Need, st.integers(1, 130), st.integers(1, 2 * GIB), st.integers(0, 2 * GIB))


@given(places, needs)
def test_what_is_placed_fits_everywhere_and_the_first_is_filled_first(places, need):
    counts = spread(places, need, -1)
    assert sum(counts) <= need.n_layers
    for each, n in zip(places, counts, strict=True):
        assert n == 0 or n * need.layer + need.fixed <= each.n_free
    for i, n in enumerate(counts[:-1]):
        if any(counts[i + 1 :]):
            assert (n + 1) * need.layer + need.fixed > places[i].n_free, "it had room for one more"
    if places and sum(counts) < need.n_layers:
        room = [max(0, p.n_free - need.fixed) // need.layer for p in places]
        assert counts == room, "no layer stays away while there is room"


@given(places, needs, st.integers(0, 200))
def test_a_count_that_was_asked_for_is_kept(places, need, n_asked):
    counts = spread(places, need, n_asked)
    assert sum(counts) == (min(n_asked, need.n_layers) if places else 0)


@given(st.integers(0, 200))
def test_ever_fewer_down_to_none(n):
    tries = list(fewer(n))
    assert tries == sorted(set(tries), reverse=True)
    assert (tries[-1:] == [0]) == (n > 0)
    assert all(0 <= each < n for each in tries)


@given(places, needs)
def test_other_machines_have_the_first_layers_and_nobody_is_there_without_any(places, need):
    counts = spread(places, need, -1)
    used = in_order(places, counts)
    assert sorted((p.name, n) for p, n in used) == sorted(
        (p.name, n) for p, n in zip(places, counts, strict=True) if n
    )
    far = [p.is_remote for p, _ in used]
    assert far == sorted(far, reverse=True)


def test_without_a_word_cards_of_this_machine_come_first_and_shared_memory_only_without_them():
    assert chosen(ALL, []) == [CUDA0, CUDA1, FAR]
    assert chosen([CPU, IGPU], []) == [IGPU]
    assert chosen([CPU], []) == []


def test_those_that_are_named_are_used_in_that_order_and_no_others():
    assert chosen(ALL, ["10.0.0.5:11435", "cuda1"]) == [FAR, CUDA1]
    assert chosen(ALL, ["Vulkan0"]) == [IGPU]
    assert chosen(ALL, ["cpu"]) == []


def test_those_with_a_minus_are_left_out():
    assert chosen(ALL, ["-CUDA0"]) == [CUDA1, FAR]
    assert chosen(ALL, ["CUDA0", "CUDA1", "-CUDA0"]) == [CUDA1]


@pytest.mark.parametrize("word", ["CUDA7", "-CUDA7", "10.0.0.6:1"])
def test_a_device_that_is_not_there_is_an_error_that_names_those_that_are(word):
    with pytest.raises(DeviceError, match=word.lstrip("-")) as failed:
        chosen(ALL, [word])
    assert "CUDA1" in failed.value.hint


def test_a_card_that_two_drivers_show_is_used_once():
    twice = [
        place("CUDA0", hardware_id="0000:01:00.0"),
        place("Vulkan0", hardware_id="0000:01:00.0"),
    ]
    assert chosen(twice, []) == twice[:1]
    assert chosen(twice, ["Vulkan0"]) == twice[1:]

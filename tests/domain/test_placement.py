"""Which devices get how many layers: by property."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.domain.device_order import chosen, chosen_without
from runner.domain.placement import (
    Need,
    Outline,
    Place,
    fewer,
    first,
    in_order,
    need_of,
    spread,
    too_few,
)
from runner.errors import InvalidRequest

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


shares = st.lists(st.floats(0, 100), max_size=6)


@given(places, needs, shares, st.integers(0, 200))
def test_what_was_asked_for_is_split_as_it_was_said(places, need, shares, n_asked):
    counts = spread(places, need, n_asked, shares)
    known = [*shares, *[0.0] * len(places)][: len(places)]
    assert sum(counts) == (min(n_asked, need.n_layers) if places else 0)
    if (total := sum(known)) > 0:
        for share, n in zip(known, counts, strict=True):
            assert abs(n - sum(counts) * share / total) <= 1


@given(places, needs, shares)
def test_a_split_without_a_count_never_overfills_a_device(places, need, shares):
    counts = spread(places, need, -1, shares)
    assert sum(counts) <= need.n_layers
    for each, n in zip(places, counts, strict=True):
        assert n == 0 or n * need.layer + need.fixed <= each.n_free


def test_three_to_one_is_three_quarters_and_what_has_no_share_gets_nothing():
    need = Need(32, GIB // 100, 0)
    assert spread([CUDA0, CUDA1], need, -1, (3, 1)) == [24, 8]
    assert spread([CUDA0, CUDA1], need, 16, (0, 1)) == [0, 16]
    assert spread([CUDA0, CUDA1, FAR], need, -1, (1,)) == [32, 0, 0]
    assert spread([CUDA0], need, -1, (0.0, 1.0)) == [32], "the only one has no share: no split"


@given(places, st.integers(0, 9))
def test_the_main_device_is_filled_first_and_the_others_stay_in_order(places, number):
    found = first(places, number)
    assert sorted(found, key=places.index) == places
    if number < len(places):
        assert found[0] is places[number]
        assert found[1:] == [place for place in places if place is not places[number]]
    else:
        assert found == places


outlines = st.builds(
    Outline,
    n_blocks=st.integers(0, 512),
    n_bytes=st.integers(0, 1 << 40),
    n_embd=st.integers(0, 1 << 16),
    n_head=st.integers(0, 256),
    n_head_kv=st.integers(0, 256),
    head_width=st.integers(0, 1024),
    n_vocab=st.integers(0, 1 << 20),
)
kinds = st.sampled_from(["f32", "f16", "q8_0", "q4_0", "another"])


@given(outlines, st.integers(1, 1 << 20), kinds, st.integers(1, 4096))
def test_a_layer_is_its_part_of_the_files_and_of_the_cache(outline, n_cells, kind, n_batch):
    need = need_of(outline, n_cells=n_cells, kv_types=(kind, kind), n_batch=n_batch)
    assert need.n_layers == outline.n_blocks + 1
    assert need.layer >= outline.n_bytes // need.n_layers
    assert need.fixed > 4 * outline.n_vocab * n_batch
    more = need_of(outline, n_cells=2 * n_cells, kv_types=(kind, kind), n_batch=n_batch)
    assert more.layer >= need.layer


def test_the_starters_cache_is_what_its_heads_keep():
    """Three heads of 64 numbers for keys, and as many for values, of two bytes each."""
    outline = Outline(30, 31_000_000, 576, 9, 3, 0, 49152)
    need = need_of(outline, n_cells=1000, kv_types=("f16", "f16"), n_batch=512)
    assert need.layer == 1_000_000 + 1000 * 2 * 3 * 64 * 2


def test_that_not_all_layers_fit_is_told_with_the_devices():
    need = Need(31, 1, 0)
    assert too_few([20, 5], need, [CUDA0, CUDA1]) == "25 of 31 layers fit on CUDA0, CUDA1"
    assert too_few([31], need, [CUDA0]) == ""
    assert too_few([], need, []) == ""


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


def test_an_address_means_all_devices_of_that_machine():
    second = place(f"{FAR.name}#1", is_remote=True)
    assert chosen([*ALL, second], [FAR.name]) == [FAR, second]
    assert chosen([*ALL, second], [second.name]) == [second]
    assert chosen([*ALL, second], [FAR.name, second.name]) == [FAR, second]


def test_what_cannot_be_had_is_left_out_and_nothing_else_takes_its_place():
    there = [CPU, CUDA0]
    assert chosen_without(there, [FAR.name, "CUDA0"], {FAR.name}) == [CUDA0]
    assert chosen_without(there, [FAR.name], {FAR.name}) == []
    assert chosen_without(there, [FAR.name, "-CUDA0"], {FAR.name}) == []
    assert chosen_without(there, [], set()) == [CUDA0]
    with pytest.raises(InvalidRequest):
        chosen_without(there, ["CUDA7"], {FAR.name})


def test_those_with_a_minus_are_left_out():
    assert chosen(ALL, ["-CUDA0"]) == [CUDA1, FAR]
    assert chosen(ALL, ["CUDA0", "CUDA1", "-CUDA0"]) == [CUDA1]


@pytest.mark.parametrize("word", ["CUDA7", "-CUDA7", "10.0.0.6:1"])
def test_a_device_that_is_not_there_is_an_error_that_names_those_that_are(word):
    with pytest.raises(InvalidRequest, match=word.lstrip("-")) as failed:
        chosen(ALL, [word])
    assert "CUDA1" in failed.value.hint
    assert failed.value.param == "devices"


def test_a_card_that_two_drivers_show_is_used_once():
    twice = [
        place("CUDA0", hardware_id="0000:01:00.0"),
        place("Vulkan0", hardware_id="0000:01:00.0"),
    ]
    assert chosen(twice, []) == twice[:1]
    assert chosen(twice, ["Vulkan0"]) == twice[1:]

"""Search results: narrowed, ordered, compared with the library, and what is recommended."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from PySide6.QtCore import Qt

from gui.models.found_list import (
    FoundList,
    Wishes,
    chosen,
    exact_name,
    fit,
    here,
    licenses,
    quant_rows,
    quant_table,
    recommended,
)
from gui.models.table import ROW_ROLE
from runner.domain.model import Capability
from runner.domain.name import ModelName
from runner.domain.search import FoundModel, FoundQuant

quants = st.builds(
    FoundQuant,
    st.sampled_from(["Q2_K", "Q4_K_M", "Q8_0", "BF16", "UD-Q4_K_XL", "odd"]),
    st.integers(0, 10**11),
    st.sampled_from([True, False, None]),
)
models = st.builds(
    FoundModel,
    st.sampled_from(["hf.co/a/b", "hf.co/a/c", "modelscope.cn/x/y"]),
    st.just("hf.co"),
    st.integers(0, 99),
    st.integers(0, 99),
    st.sampled_from(["", "mit", "apache-2.0"]),
    st.booleans(),
    st.lists(quants, max_size=4, unique_by=lambda q: q.label).map(tuple),
    languages=st.sampled_from([(), ("en",), ("en", "zh")]),
    abilities=st.sampled_from([(), (Capability.TOOLS,), (Capability.TOOLS, Capability.VISION)]),
)
wishes = st.builds(
    Wishes,
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", "mit"]),
    st.sampled_from([0, 10**9]),
    order=st.sampled_from(["hub", "likes", "downloads", "size"]),
    language=st.sampled_from(["", "zh"]),
    tools=st.booleans(),
    vision=st.booleans(),
)


@given(found=st.lists(models, max_size=8), wish=wishes)
def test_what_is_left_is_wanted_and_what_is_wanted_is_left(found, wish):
    left = chosen(found, wish)
    for model in left:
        assert not wish.fits or fit(model)
        assert not (wish.is_open and model.is_gated)
        assert wish.license in ("", model.license)
        assert not wish.language or wish.language in model.languages
        assert not wish.tools or Capability.TOOLS in model.abilities
        assert not wish.vision or Capability.VISION in model.abilities
        if wish.max_bytes:
            assert any(0 < quant.n_bytes <= wish.max_bytes for quant in model.quants)
    assert [m for m in found if m in left] == found or wish != Wishes(order=wish.order)


@given(found=st.lists(models, max_size=8))
def test_orders_go_down_by_what_they_name(found):
    likes = [model.n_likes for model in chosen(found, Wishes(order="likes"))]
    assert likes == sorted(likes, reverse=True)
    assert chosen(found, Wishes()) == found


@given(st.lists(quants, max_size=6, unique_by=lambda q: q.label))
def test_what_does_not_fit_is_never_recommended(given_quants):
    best = recommended(given_quants)
    if best is None:
        assert all(quant.fits is False for quant in given_quants)
    else:
        assert best in given_quants
        assert best.fits is not False


def test_four_bits_are_recommended_before_eight_and_two():
    all_fit = [FoundQuant(label, 1, True) for label in ("Q2_K", "Q8_0", "Q4_K_M")]
    assert recommended(all_fit).label == "Q4_K_M"
    only_small = [FoundQuant("Q2_K", 1, True), FoundQuant("Q4_K_M", 9, False)]
    assert recommended(only_small).label == "Q2_K"


ASTER = FoundModel(
    "hf.co/Meadow/Aster-GGUF",
    "hf.co",
    1200,
    5,
    "mit",
    True,
    (FoundQuant("Q4_K_M", 2_500_000_000, True), FoundQuant("Q8_0", 5_000_000_000, False)),
)


def test_what_is_in_the_library_is_marked_whatever_its_letters_case(application):
    shown = FoundList()
    shown.show([ASTER])
    shown.set_library(here([ModelName.parse("hf.co/meadow/aster-gguf:q8_0")]))
    assert shown.index(0).data(FoundList.HERE_ROLE) == 1
    rows = quant_rows(ASTER, shown.tags_of(ASTER))
    assert [(row.is_here, row.is_recommended) for row in rows] == [(False, True), (True, False)]
    table = quant_table()
    table.set_rows(rows)
    assert [table.index(at, 2).data() for at in range(2)] == ["Recommended", "In the library"]


def test_a_result_can_be_read_aloud_and_found_again(application):
    shown = FoundList()
    shown.show([ASTER])
    spoken = shown.index(0).data(Qt.ItemDataRole.AccessibleTextRole)
    assert spoken == "hf.co/Meadow/Aster-GGUF, mit, Licence to accept"
    assert shown.index(0).data(ROW_ROLE) is ASTER
    assert shown.index_of(ASTER.name).row() == 0
    assert not shown.index_of("hf.co/no/body").isValid()


def test_licences_are_listed_once():
    other = FoundModel("hf.co/a/b", "hf.co", 0, 0, "Apache-2.0", False)
    assert licenses([ASTER, other, ASTER]) == ["Apache-2.0", "mit"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hf.co/a/b", "hf.co/a/b"),
        (" https://huggingface.co/a/b ", "https://huggingface.co/a/b"),
        ("ms/a/b:Q4_0", "ms/a/b:Q4_0"),
        ("qwen3 4b", ""),
        ("qwen3", ""),
        ("own/model", ""),
        ("a/b/c/d/e", ""),
    ],
)
def test_a_name_or_link_of_a_hub_is_told_from_words(text, name):
    assert exact_name(text) == name

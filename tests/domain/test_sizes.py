"""Sizes in words: short ones, and two that are to be compared."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from runner.domain.sizes import size_text, told_apart

sizes = st.integers(0, 2**50)


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 KB"), (12_400, "12 KB"), (340_000_000, "340 MB"), (2_540_000_000, "2.5 GB")],
)
def test_a_size_is_said_shortly(n_bytes, text):
    assert size_text(n_bytes) == text


@given(sizes, sizes)
def test_sizes_that_differ_are_said_in_words_that_differ(first, second):
    one, other = told_apart(first, second)
    assert (one == other) == (first == second)


@given(sizes, st.integers(-(10**9), 10**9))
def test_so_are_those_that_nearly_are_the_same(first, more):
    second = max(0, first + more)
    one, other = told_apart(first, second)
    assert (one == other) == (first == second)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (4_100_000_000, 300_000_000, ("4.1 GB", "300 MB")),
        (4_120_000_000, 4_090_000_000, ("4120 MB", "4090 MB")),
        (290_000_000, 285_000_000, ("290 MB", "285 MB")),
        (290_000_300, 290_000_100, ("290000300 bytes", "290000100 bytes")),
        (290_000_000, 290_000_000, ("290 MB", "290 MB")),
    ],
)
def test_a_pair_is_said_as_shortly_as_it_can_be(first, second, words):
    assert told_apart(first, second) == words


def test_a_table_says_them_as_its_other_sizes_where_that_tells_them_apart():
    assert told_apart(2_000_000_000, 5_000_000_000, lambda n: f"{n // 10**9}G") == ("2G", "5G")
    assert told_apart(2_100_000_000, 2_900_000_000, lambda n: f"{n // 10**9}G") == (
        "2100 MB",
        "2900 MB",
    )

"""Durations in Go's grammar."""

import math
import time

import pytest
from hypothesis import given, strategies as st

from runner.domain.duration import keep_alive_seconds, parse_duration

UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
PARTS = st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(sorted(UNITS))), min_size=1)


@given(PARTS, st.sampled_from(["", "-", "+"]))
def test_the_parts_of_a_duration_add_up(pieces, sign):
    text = sign + "".join(f"{n}{unit}" for n, unit in pieces)
    expected = sum(n * UNITS[unit] for n, unit in pieces)
    assert parse_duration(text) == pytest.approx(-expected if sign == "-" else expected)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("5m", 300),
        ("1h30m", 5400),
        ("-1s", -1),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("1.s", 1),
        ("300ms", 0.3),
        ("1\u00b5s", 1e-6),  # the micro sign
        ("1\u03bcs", 1e-6),  # the Greek letter, as in Go
    ],
)
def test_go_would_read_it_the_same(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["5", "5.", "1h30", "+7", ".5"])
def test_a_number_without_a_unit_is_named_as_such(text):
    with pytest.raises(ValueError, match="time: missing unit in duration"):
        parse_duration(text)


def test_the_missing_unit_has_go_s_own_words():
    with pytest.raises(ValueError, match=r'^time: missing unit in duration "5"$'):
        parse_duration("5")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "+",
        "s",
        ".s",
        "abc",
        "5x",
        "--5s",
        "5s ",
        " 5s",
        "5m 3",
        "1e3s",
        "٣s",
        "nan",
        "inf",
    ],
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="time: invalid duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["1" * 200_000, "1." * 100_000, "1s" * 50_000 + "x"])
def test_a_long_text_is_refused_as_fast_as_it_is_read(text):
    began = time.process_time()
    with pytest.raises(ValueError, match="time: ") as caught:
        parse_duration(text)
    assert time.process_time() - began < 1
    assert len(str(caught.value)) < 200


@given(st.text("0123456789.-+hmsnuµ "))
def test_any_text_is_seconds_or_an_error(text):
    try:
        assert not math.isnan(parse_duration(text))
    except ValueError as error:
        assert str(error).startswith("time: ")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(0, 0), ("0", 0), (5, 5), (1.5, 1.5), ("5m", 300), (-1, math.inf), ("-1s", math.inf)],
)
def test_a_negative_keep_alive_is_for_ever(value, seconds):
    assert keep_alive_seconds(value) == seconds


def test_a_keep_alive_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="keep_alive"):
        keep_alive_seconds(math.nan)

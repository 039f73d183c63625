"""Plots: a whole PNG image, and ticks that people read."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given, settings, strategies as st

from runner.cli.plot import BarChart, Curve, plot, plot_bars, ticks_of

numbers = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))


def pixels_of(image: bytes) -> list[bytes]:
    """The rows of a PNG image, each checked by its checksum."""
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    at, content, size = 8, b"", (0, 0)
    while at < len(image):
        (length,) = struct.unpack_from(">I", image, at)
        kind, part = image[at + 4 : at + 8], image[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", image, at + 8 + length)
        assert checksum == zlib.crc32(kind + part)
        if kind == b"IHDR":
            size = struct.unpack(">II", part[:8])
        content += part if kind == b"IDAT" else b""
        at += 12 + length
    raw = zlib.decompress(content)
    stride = 1 + 3 * size[0]
    assert len(raw) == stride * size[1]
    return [raw[start + 1 : start + stride] for start in range(0, len(raw), stride)]


def test_a_curve_that_falls_is_drawn_falling():
    rows = pixels_of(plot([Curve("a", [10.0, 5.0])], title="t", x="x"))
    blue = bytes((0, 114, 178))
    places = [(row.find(blue) // 3, y) for y, row in enumerate(rows) if blue in row]
    on_the_right = [y for x, y in places if x > 400]
    assert on_the_right
    assert min(on_the_right) > 200


@pytest.mark.parametrize("values", [[1.0], [3.0, 3.0], [1.0, float("nan"), 2.0], [1e-9, 2e-9]])
def test_odd_rows_are_drawn(values):
    pixels_of(plot([Curve("Q4_K_M ü", values), Curve("b", [])], title="perplexity", x="windows"))


def test_nothing_is_no_picture():
    with pytest.raises(ValueError, match="nothing to draw"):
        plot([Curve("a", [float("inf")])], title="t", x="x")


@given(low=numbers, high=numbers)
def test_ticks_are_few_rise_and_hold_all(low, high):
    low, high = min(low, high), max(low, high)
    ticks = ticks_of(low, high)
    slack = 1e-9 * max(1.0, abs(low), abs(high))
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack


def test_bars_stand_on_one_line_as_high_as_their_values_say():
    chart = BarChart("t", ["a", "b"], [Curve("now", [4.0, 2.0]), Curve("then", [1.0, 4.0])])
    rows = pixels_of(plot_bars([chart, chart]))
    blue, orange = bytes((0, 114, 178)), bytes((230, 159, 0))
    for panel in (rows[:480], rows[480:]):
        # In the middle of each group its two bars meet; values and names stand above them.
        heights = []
        for middle in (260, 600):
            for colour, x in ((blue, middle - 40), (orange, middle + 40)):
                at = [y for y, row in enumerate(panel) if row[3 * x : 3 * x + 3] == colour]
                assert at == list(range(at[0], 421))
                heights.append(421 - at[0])
        four, one, two, four_again = heights
        assert four == four_again
        assert abs(four - 4 * one) <= 4
        assert abs(four - 2 * two) <= 2


@given(
    values=st.lists(st.floats(0, 1e5) | st.just(float("nan")), min_size=1, max_size=40),
    group=st.text(max_size=30),
)
@settings(max_examples=10)
def test_any_bars_are_drawn(values, group):
    rows = [Curve("now", [*values, 1.0]), Curve("then", values)]
    pixels_of(plot_bars([BarChart("t", [group] * (len(values) + 1), rows)]))

"""Plots: a whole PNG image, and ticks that people read."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given, strategies as st

from runner.cli.plot import Curve, plot, ticks_of

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

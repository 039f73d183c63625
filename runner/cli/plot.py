"""Curves and bars as a PNG image, with the standard library alone.

A library for plots would be the largest thing that is installed, for two pictures of a few lines;
so the lines, ticks and letters that they need are drawn here.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.errors import InvalidRequest
from runner.paths import given_path

_WIDTH, _HEIGHT = 800, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 30, 40, 60
_WHITE, _BLACK, _GREY = (255, 255, 255), (30, 30, 30), (220, 220, 220)
#: Told apart by people who see no red or no green, too (Okabe and Ito).
_COLOURS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167))
_ZOOM = 2  # pixels of a dot of a letter
_MOST_LETTERS = 50  # of a name that stands beside a title
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ?0123456789.-_:/%+(), "
#: Each letter in three by five dots: a digit for a row, from above, its three bits from the left.
_DOTS = (
    "257556565634443655567464774644345535575572227"
    "111525565544447577556555525552656442556365655"
    "342167222255557555525577555255552227124771202"
    "75557262277174771317557117471774757711227575775717"
    "0000200700000070202011244512450272012221422240002400000"
)
_FONT = {letter: _DOTS[5 * i : 5 * i + 5] for i, letter in enumerate(_LETTERS)}


@dataclass(frozen=True, slots=True)
class Curve:
    """A named row of numbers, one after the other."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class BarChart:
    """Bars that stand in groups, from 0 upwards.

    Attributes:
        title: What the numbers are.
        groups: What each group is called.
        rows: One bar of each group; a value that is not finite, or none, has no bar.
    """

    title: str
    groups: Sequence[str]
    rows: Sequence[Curve]


def plot(curves: Sequence[Curve], *, title: str, x: str) -> bytes:
    """Return a PNG image of ``curves`` over their numbers, the first being 1.

    Args:
        curves: At least one with a number that is finite.
        title: What the numbers are.
        x: What is counted.
    """
    values = [value for curve in curves for value in curve.values if math.isfinite(value)]
    if not values:
        raise ValueError("there is nothing to draw")
    n_most = max(len(curve.values) for curve in curves)
    canvas = _Canvas()
    panel = _Panel(canvas, 0, ticks_of(min(values), max(values)), title)

    def across(number: int) -> int:
        return round(_LEFT + (number - 1) / max(1, n_most - 1) * (_WIDTH - _LEFT - _RIGHT))

    for number in sorted({1, (n_most + 1) // 2, n_most}):
        canvas.centred(str(number), across(number), panel.below, _BLACK)
    canvas.text(x, _WIDTH - _RIGHT - canvas.width(x), panel.below + 25, _BLACK)
    for order, curve in enumerate(curves):
        colour = _colour(order)
        canvas.text(curve.name, _LEFT + 10, _TOP + 10 + order * 16, colour)
        points = [
            (across(number), panel.height(value))
            for number, value in enumerate(curve.values, 1)
            if math.isfinite(value)
        ]
        for start, end in zip(points, points[1:] or points, strict=False):
            canvas.line(start, end, colour, thick=2)
    return canvas.png()


def plot_bars(charts: Sequence[BarChart]) -> bytes:
    """Return a PNG image of ``charts``, one below the other; each has a value that is finite."""
    canvas = _Canvas(len(charts))
    for number, chart in enumerate(charts):
        highest = max(value for row in chart.rows for value in row.values if math.isfinite(value))
        _draw_bars(canvas, _Panel(canvas, number, ticks_of(0.0, highest), chart.title), chart)
    return canvas.png()


def _draw_bars(canvas: _Canvas, panel: _Panel, chart: BarChart) -> None:
    """Draw the bars of each group beside each other, their values above them and its name below."""
    slot = (_WIDTH - _LEFT - _RIGHT) / len(chart.groups)
    width = max(1, int(slot * 0.7 / len(chart.rows)))
    ends = [0, 0]  # of the names in two lines, so that long ones have room
    for number, group in enumerate(chart.groups):
        middle = round(_LEFT + slot * (number + 0.5))
        half = canvas.width(group) // 2
        line = next((n for n, end in enumerate(ends) if middle - half > end), None)
        if line is not None:
            ends[line] = middle + half + 8
            canvas.centred(group, middle, panel.below + 18 * line, _BLACK)
    for order, row in enumerate(chart.rows):
        colour = _colour(order)
        name = row.name[-_MOST_LETTERS:]  # above the bars, of which any may be the highest
        canvas.text(name, _WIDTH - _RIGHT - canvas.width(name), panel.top + 6 + order * 16, colour)
        for number, value in enumerate(row.values):
            if not math.isfinite(value):
                continue
            first = _LEFT + slot * (number + 0.5) - width * len(chart.rows) / 2
            left = round(first) + width * order
            canvas.box((left, panel.height(value)), (left + width - 1, panel.height(0.0)), colour)
            label = f"{value:.4g}"
            if canvas.width(label) <= width:
                canvas.centred(label, left + width // 2, panel.height(value) - 14, _BLACK)


def ticks_of(low: float, high: float) -> list[float]:
    """Return round numbers, evenly spaced, around all between ``low`` and ``high``; two or more."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * n for n in (1, 2, 5, 10) if power * n * 5 >= span)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def save(image: bytes, file: str, command: str) -> Path:
    """Write an image where it is asked for, and return that place.

    Raises:
        InvalidRequest: It cannot be written; ``command`` draws it again without measuring.
    """
    path = given_path(file)
    try:
        path.write_bytes(image)
    except OSError as error:
        raise InvalidRequest(
            f"'{path}' cannot be written: {error.strerror or error}",
            hint=f"what was measured is kept; draw it elsewhere: {command} --last --plot FILE",
        ) from None
    return path


class _Panel:
    """One picture of those that stand below each other, with lines across at its ticks.

    ``top`` is where it begins, ``below`` where words under its lowest line do: in pixels from
    above.
    """

    def __init__(self, canvas: _Canvas, number: int, ticks: Sequence[float], title: str) -> None:
        self._ticks = ticks
        self.top = number * _HEIGHT
        self.below = self.top + _HEIGHT - _BOTTOM + 10
        for tick in ticks:
            y = self.height(tick)
            canvas.line((_LEFT, y), (_WIDTH - _RIGHT, y), _GREY)
            label = f"{tick:g}"
            canvas.text(label, _LEFT - 10 - canvas.width(label), y - 5, _BLACK)
        canvas.text(title, _LEFT, self.top + 15, _BLACK)

    def height(self, value: float) -> int:
        """Where ``value`` is, in pixels from above."""
        share = (value - self._ticks[0]) / (self._ticks[-1] - self._ticks[0])
        return round(self.top + _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM))


def _colour(order: int) -> tuple[int, int, int]:
    """The colour of the curve, or the row of bars, of some order."""
    return _COLOURS[order % len(_COLOURS)]


class _Canvas:
    """Pixels, white at first, with room for some panels below each other."""

    def __init__(self, n_panels: int = 1) -> None:
        self._rows = [bytearray(bytes(_WHITE) * _WIDTH) for _ in range(_HEIGHT * n_panels)]

    def dot(self, x: int, y: int, colour: tuple[int, int, int]) -> None:
        if 0 <= x < _WIDTH and 0 <= y < len(self._rows):
            self._rows[y][3 * x : 3 * x + 3] = bytes(colour)

    def line(
        self,
        start: tuple[int, int],
        end: tuple[int, int],
        colour: tuple[int, int, int],
        thick: int = 1,
    ) -> None:
        n = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for step in range(n + 1):
            x = round(start[0] + (end[0] - start[0]) * step / n)
            y = round(start[1] + (end[1] - start[1]) * step / n)
            for more in range(thick * thick):
                self.dot(x + more % thick, y + more // thick, colour)

    def box(
        self, start: tuple[int, int], end: tuple[int, int], colour: tuple[int, int, int]
    ) -> None:
        """Fill what lies between two corners, these too; the first is above and on the left."""
        for y in range(start[1], end[1] + 1):
            self.line((start[0], y), (end[0], y), colour)

    def centred(self, text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
        self.text(text, x - self.width(text) // 2, y, colour)

    def text(self, text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
        for letter in text.upper():
            rows = _FONT.get(letter, _FONT["?"])
            for place in range(15):
                if int(rows[place // 3]) >> (2 - place % 3) & 1:
                    left, top = x + place % 3 * _ZOOM, y + place // 3 * _ZOOM
                    for more in range(_ZOOM * _ZOOM):
                        self.dot(left + more % _ZOOM, top + more // _ZOOM, colour)
            x += 4 * _ZOOM

    def width(self, text: str) -> int:
        return 4 * _ZOOM * len(text) - _ZOOM

    def png(self) -> bytes:
        """The image; source of the format: W3C, Portable Network Graphics."""
        header = struct.pack(">IIBBBBB", _WIDTH, len(self._rows), 8, 2, 0, 0, 0)  # 8 bits each, RGB
        pixels = b"".join(b"\0" + row for row in self._rows)
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels, 9)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

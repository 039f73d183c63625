"""Curves as a PNG image, with the standard library alone.

A library for plots would be the largest thing that is installed, for one picture of two curves; so
the few lines, ticks and letters that it needs are drawn here.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 800, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 30, 40, 60
_WHITE, _BLACK, _GREY = (255, 255, 255), (30, 30, 30), (220, 220, 220)
#: Told apart by people who see no red or no green, too (Okabe and Ito).
_COLOURS = ((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167))
_ZOOM = 2  # pixels of a dot of a letter
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
    ticks = ticks_of(min(values), max(values))
    n_most = max(len(curve.values) for curve in curves)
    canvas = _Canvas()

    def place(number: int, value: float) -> tuple[int, int]:
        share = (number - 1) / max(1, n_most - 1)
        height = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return (
            round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT)),
            round(_HEIGHT - _BOTTOM - height * (_HEIGHT - _TOP - _BOTTOM)),
        )

    for tick in ticks:
        _, y = place(1, tick)
        canvas.line((_LEFT, y), (_WIDTH - _RIGHT, y), _GREY)
        label = f"{tick:g}"
        canvas.text(label, _LEFT - 10 - canvas.width(label), y - 5, _BLACK)
    for number in sorted({1, (n_most + 1) // 2, n_most}):
        at, _ = place(number, ticks[0])
        canvas.text(
            str(number), at - canvas.width(str(number)) // 2, _HEIGHT - _BOTTOM + 10, _BLACK
        )
    canvas.text(title, _LEFT, 15, _BLACK)
    canvas.text(x, _WIDTH - _RIGHT - canvas.width(x), _HEIGHT - 25, _BLACK)
    for order, curve in enumerate(curves):
        colour = _COLOURS[order % len(_COLOURS)]
        points = [
            place(number, value)
            for number, value in enumerate(curve.values, 1)
            if math.isfinite(value)
        ]
        for start, end in zip(points, points[1:] or points, strict=False):
            canvas.line(start, end, colour, thick=2)
        canvas.text(curve.name, _LEFT + 10, _TOP + 10 + order * 16, colour)
    return canvas.png()


def ticks_of(low: float, high: float) -> list[float]:
    """Return round numbers, evenly spaced, around all between ``low`` and ``high``; two or more."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * n for n in (1, 2, 5, 10) if power * n * 5 >= span)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


class _Canvas:
    """Pixels, white at first."""

    def __init__(self) -> None:
        self._rows = [bytearray(bytes(_WHITE) * _WIDTH) for _ in range(_HEIGHT)]

    def dot(self, x: int, y: int, colour: tuple[int, int, int]) -> None:
        if 0 <= x < _WIDTH and 0 <= y < _HEIGHT:
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
        header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)  # 8 bits each, RGB
        pixels = b"".join(b"\0" + row for row in self._rows)
        parts = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels, 9)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

"""What moves on a terminal: a spinner, and the bars of a pull.

The pictures are pure functions of what is known and of the time; ``Live`` alone draws.  Where
stderr is no terminal nothing moves: see ``output.py``.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TextIO

from runner.cli import human
from runner.domain.progress import Progress

_PERIOD_S = 0.1
_RATE_WINDOW_S = 5.0  # the rate shown is the mean of this long
_CLEAR_LINE, _UP, _HIDE, _SHOW = "\r\x1b[K", "\x1b[A", "\x1b[?25l", "\x1b[?25h"


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What spinners and bars are made of."""

    spin: str
    left: str
    full: str
    empty: str
    right: str
    done: str
    dots: str


UNICODE = Glyphs("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "▕", "█", " ", "▏", "✓", "…")
ASCII = Glyphs("|/-\\", "[", "#", " ", "]", "*", "...")


@dataclass(slots=True)
class Track:
    """One line of a pull: a phase without bytes, or a blob that arrives."""

    title: str
    n_done: int = 0
    n_bytes: int = 0
    is_over: bool = False
    source: str = ""
    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def record(self, n_done: int, n_bytes: int, now: float) -> None:
        """Take a new count of bytes.

        What was there when it begins, of a download that goes on, is no speed: counting starts
        with the first byte.
        """
        if not n_done or n_done < self.n_done:
            self.seen.clear()
        self.n_done, self.n_bytes = n_done, n_bytes
        if n_done:
            self.seen.append((now, n_done))
        while len(self.seen) > 2 and now - self.seen[0][0] > _RATE_WINDOW_S:
            self.seen.popleft()

    @property
    def rate_bps(self) -> float:
        """Bytes a second lately; 0 when that is not known yet."""
        if len(self.seen) < 2:
            return 0.0
        (start, before), (end, after) = self.seen[0], self.seen[-1]
        return max(0.0, (after - before) / (end - start)) if end > start else 0.0


@dataclass(slots=True)
class Tracks:
    """The lines of one pull, in the order in which they began."""

    lines: dict[str, Track] = field(default_factory=dict)

    def record(self, step: Progress, now: float) -> bool:
        """Take one step of progress; return whether it began a line."""
        key = f"{step.phase} {step.digest}".rstrip()
        is_new = key not in self.lines
        if is_new:
            for track in self.lines.values():
                # Several blobs may arrive side by side; a phase ends when the next one begins.
                track.is_over |= not track.n_bytes or not step.digest
            self.lines[key] = Track(step.phase)
        track = self.lines[key]
        track.record(step.n_done, step.n_bytes, now)
        track.source = step.source or track.source
        track.is_over |= step.phase == "success" or 0 < step.n_bytes <= step.n_done
        return is_new

    def finish(self) -> None:
        """Take it that all phases are over."""
        for track in self.lines.values():
            track.is_over |= not track.n_bytes

    def picture(self, now: float, width: int, glyphs: Glyphs) -> list[str]:
        """Return the lines as they look now, none wider than ``width``.

        Safe from another thread than ``record``'s.
        """
        return [track_line(track, now, width, glyphs) for track in list(self.lines.values())]


def spinner(now: float, glyphs: Glyphs) -> str:
    """Return the spinner's picture of this moment."""
    return glyphs.spin[int(now / _PERIOD_S) % len(glyphs.spin)]


def track_line(track: Track, now: float, width: int, glyphs: Glyphs) -> str:
    """Return one line: a title with a mark, or a bar with bytes, rate, time left and source."""
    if not track.n_bytes:
        mark = glyphs.done if track.is_over else spinner(now, glyphs)
        return f"{track.title} {mark}"[:width]
    share = min(1.0, track.n_done / track.n_bytes)
    head = f"{track.title}: {int(share * 100):3d}% "
    if track.is_over:
        tail = f" {human.size(track.n_bytes):>17}"
    else:
        counts = f"{human.size(track.n_done)}/{human.size(track.n_bytes)}"
        rate = track.rate_bps
        speed = f"{human.size(int(rate))}/s" if rate else ""
        left = human.clock((track.n_bytes - track.n_done) / rate) if rate else ""
        tail = f" {counts:>17}  {speed:>9}  {left:>6}  {track.source}".rstrip()
    n_cells = width - len(head) - len(tail) - 2
    if n_cells < 4:
        return f"{head.rstrip()} {tail.strip()}"[:width].rstrip()
    n_full = int(share * n_cells)
    cells = glyphs.full * n_full + glyphs.empty * (n_cells - n_full)
    return f"{head}{glyphs.left}{cells}{glyphs.right}{tail}".rstrip()


class Live:
    """Redraws some lines at the end of a terminal until it is left.

    A thread of its own draws, so a spinner turns while the caller waits for the network.

    Args:
        stream: The terminal.
        picture: The lines to draw now, each within the terminal's width.
        keep: Whether the last picture stays when it ends; else it is erased.
    """

    def __init__(self, stream: TextIO, picture: Callable[[], list[str]], *, keep: bool) -> None:
        self._stream = stream
        self._picture = picture
        self._keep = keep
        self._n_drawn = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Live:
        try:
            self._stream.write(_HIDE)
            self._draw()
            self._thread.start()
        except BaseException:  # Ctrl-C has no better place to come: show the cursor again
            self.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Draw for the last time, or erase; harmless when it has ended."""
        if self._over.is_set():
            return
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        lines = self._picture() if self._keep else []
        self._stream.write(self._frame(lines) + ("\n" if lines else "") + _SHOW)
        self._stream.flush()

    def _run(self) -> None:
        while not self._over.wait(_PERIOD_S):
            self._draw()

    def _draw(self) -> None:
        self._stream.write(self._frame(self._picture()))
        self._stream.flush()

    def _frame(self, lines: list[str]) -> str:
        """Return what turns the last picture into ``lines``: one write, so nothing flickers."""
        erase = _CLEAR_LINE + (_UP + _CLEAR_LINE) * max(0, self._n_drawn - 1)
        self._n_drawn = len(lines)
        return erase + "\n".join(lines)


def now_s() -> float:
    """The clock that moving things go by."""
    return time.monotonic()

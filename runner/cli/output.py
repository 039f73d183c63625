"""What the command line writes: the only file of the room that knows stdout and stderr.

The answer goes to stdout.  Progress, notes, questions and errors go to stderr.  Colours and
anything that moves appear on terminals alone, and ``NO_COLOR`` takes the colours away.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from runner.domain.progress import Progress
from runner.errors import CorralError

if TYPE_CHECKING:
    from runner.cli.live import Glyphs, Tracks
    from runner.cli.wrap import Wrapper

_GAP, _SMALL_GAP = "    ", "  "  # between a table's columns
_LEAST_TEXT = 16  # columns in which a text is still read
#: A terminal obeys control characters, and texts of strangers are full of surprises.
_CONTROL = {code: "�" for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\n\t"}
_CONTROL[ord("\r")] = ""
_RED, _YELLOW, _BOLD, _DIM, _RESET = "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[2m", "\x1b[0m"


class Output:
    """The two streams of one run of the command."""

    def __init__(
        self, stdout: TextIO, stderr: TextIO, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self.answer_is_tty = stdout.isatty()
        self.notes_are_tty = stderr.isatty()
        is_dumb = environ.get("TERM") == "dumb"
        self._moves = self.notes_are_tty and not is_dumb
        self._has_colour = self._moves and not environ.get("NO_COLOR")

    def text(self, text: str, end: str = "\n") -> None:
        """Write to stdout; what a terminal would obey is made harmless."""
        self._stdout.write((text.translate(_CONTROL) if self.answer_is_tty else text) + end)

    def stream(self, text: str) -> None:
        """Write a piece of an answer to stdout, to be seen at once."""
        self.text(text, end="")
        self._stdout.flush()

    def styled(self, text: str) -> None:
        """Write words of our own to stdout, with what makes a terminal grey in them."""
        self._stdout.write(text)
        self._stdout.flush()

    def answer(self, *, is_wrapped: bool) -> Answer:
        """Return what writes one answer; lines are fitted to a terminal if ``is_wrapped``."""
        if not (is_wrapped and self.answer_is_tty):
            return Answer(self)
        from runner.cli.wrap import Wrapper

        return Answer(self, Wrapper(lambda: shutil.get_terminal_size().columns - 1))

    def thoughts(self, *, is_shown: bool) -> Thoughts:
        """Return what shows thoughts before an answer, or hides them: grey on a terminal."""
        return Thoughts(self, is_shown=is_shown, is_dim=self.answer_is_tty and self._has_colour)

    def json(self, value: Any) -> None:
        """Write ``value`` to stdout as indented JSON."""
        self.text(json.dumps(value, indent=2, ensure_ascii=False))

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write aligned columns to stdout, without spaces at the ends of lines.

        A terminal that is too narrow gets them closer, then the widest on lines of its own.
        """
        width = shutil.get_terminal_size().columns if self.answer_is_tty else 0
        for line in table_lines(heads, rows, width):
            self.text(line)

    def listing(self, rows: Sequence[Sequence[str]]) -> None:
        """Write a table whose last cells are texts: a terminal has them below each other."""
        width = shutil.get_terminal_size().columns - 1 if self.answer_is_tty else 0
        for line in hanging_lines(rows, width) if width else table_lines((), rows):
            self.text(line)

    def say(self, text: str) -> None:
        """Write a note to stderr."""
        self._note(text)

    def whisper(self, text: str) -> None:
        """Write a note to stderr that wants no attention."""
        clean = harmless(text) if self.notes_are_tty else text
        self._stderr.write(self._coloured(_DIM, clean) + "\n")
        self._stderr.flush()

    def warn(self, text: str, hint: str = "") -> None:
        """Write a warning, and what to do about it, to stderr."""
        self._labelled("warning", _YELLOW, text, hint)

    def fail(self, error: CorralError) -> None:
        """Write an error and its hint to stderr."""
        self._labelled("error", _RED, error.message, error.hint)

    def ask(self, question: str) -> bool:
        """Ask on the terminal; Enter alone means yes.  Only when ``can_ask``."""
        self._stderr.write(f"{question} [Y/n] ")
        self._stderr.flush()
        answer = sys.stdin.readline()
        return bool(answer) and answer.strip().lower() in ("", "y", "yes")

    @property
    def is_unicode(self) -> bool:
        """Whether stdout takes signs beyond ASCII."""
        return (self._stdout.encoding or "").lower().replace("-", "").startswith("utf")

    @property
    def can_ask(self) -> bool:
        """Whether somebody sits there to be asked."""
        return self.notes_are_tty and sys.stdin is not None and sys.stdin.isatty()

    @contextlib.contextmanager
    def waiting(self, text: str) -> Iterator[Waiting]:
        """Show on a terminal that something takes its time, until ``end`` or the block's end."""
        if not self._moves:
            yield Waiting()
            return
        from runner.cli import live

        glyphs = self._glyphs()
        shown = text.translate(_CONTROL) + (glyphs.dots if text else "")

        def picture() -> list[str]:
            line = f"{live.spinner(live.now_s(), glyphs)} {shown}"
            return [self._coloured(_DIM, line[: _width()])]

        with live.Live(self._stderr, picture, keep=False) as drawn:
            yield Waiting(drawn.end)

    @contextlib.contextmanager
    def progress(self) -> Iterator[Bars]:
        """Show the steps of a long job: bars on a terminal, else a line for each phase."""
        from runner.cli import live

        tracks = live.Tracks()
        if not self._moves:
            yield Bars(tracks, self._note)
            return
        glyphs = self._glyphs()

        def picture() -> list[str]:
            # What has scrolled off the screen cannot be redrawn.
            lines = tracks.picture(live.now_s(), _width(), glyphs)
            return [line.translate(_CONTROL) for line in lines[-(_height() - 1) :]]

        with live.Live(self._stderr, picture, keep=True):
            yield Bars(tracks, None)

    def flush(self) -> None:
        """Hand everything to the system, so that a failure to write is noticed."""
        self._stdout.flush()
        self._stderr.flush()

    def bold(self, text: str) -> str:
        """Return ``text`` for stderr, bold where that is possible."""
        return self._coloured(_BOLD, text)

    def _note(self, text: str) -> None:
        self._stderr.write((text.translate(_CONTROL) if self.notes_are_tty else text) + "\n")
        self._stderr.flush()

    def _labelled(self, label: str, colour: str, text: str, hint: str) -> None:
        clean = text.translate(_CONTROL) if self.notes_are_tty else text
        self._stderr.write(f"{self._coloured(colour, label + ':')} {clean}\n")
        for line in hint.splitlines():
            self._note(f"  {line}")
        self._stderr.flush()

    def _coloured(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_RESET}" if self._has_colour else text

    def _glyphs(self) -> Glyphs:
        from runner.cli import live

        is_unicode = (self._stderr.encoding or "").lower().replace("-", "").startswith("utf")
        return live.UNICODE if is_unicode else live.ASCII


class Answer:
    """An answer on its way to stdout; ``end`` must follow the last ``write``."""

    def __init__(self, out: Output, wrapper: Wrapper | None = None) -> None:
        self._out = out
        self._wrapper = wrapper
        self._last = ""

    def write(self, text: str) -> None:
        """Write one more piece, to be seen at once."""
        self._last = text[-1:] or self._last
        self._out.stream(self._wrapper.feed(harmless(text)) if self._wrapper else text)

    def end(self) -> None:
        """Write what was held back, and a new line if the answer has none at its end."""
        if self._wrapper:
            self._out.stream(self._wrapper.end())
        if self._last not in ("", "\n"):
            self._out.stream("\n")


class Thoughts:
    """What a model thinks, on its way to stdout between two lines that say so, as Ollama's does.

    Nothing is written of an answer without thoughts.
    """

    def __init__(self, out: Output, *, is_shown: bool, is_dim: bool) -> None:
        self._out = out
        self._is_shown = is_shown
        self._dim, self._reset = (_DIM, _RESET) if is_dim else ("", "")
        self._is_open = False

    def write(self, text: str) -> None:
        """Write one more piece, to be seen at once."""
        if not self._is_shown:
            return
        if not self._is_open:
            self._is_open = True
            self._out.styled(self._dim + "Thinking...\n")
        self._out.stream(text)

    def end(self) -> None:
        """Close what is open; more thoughts may follow."""
        if self._is_open:
            self._is_open = False
            self._out.styled("\n...done thinking.\n\n" + self._reset)


class Waiting:
    """Something that takes its time; ``end`` takes the notice away before other text comes."""

    def __init__(self, end: Callable[[], None] | None = None) -> None:
        self._end = end

    def end(self) -> None:
        """Erase the notice, if there is one."""
        if self._end is not None:
            self._end()
            self._end = None


class Bars:
    """Takes the steps of a job and shows them."""

    def __init__(self, tracks: Tracks, say: Callable[[str], None] | None) -> None:
        self._tracks = tracks
        self._say = say
        self._said = ""
        self._source = ""

    def show(self, step: Progress) -> None:
        """Show one step."""
        from runner.cli import live

        is_new = self._tracks.record(step, live.now_s())
        if is_new and self._say is not None and step.phase != self._said:
            self._said = step.phase
            self._say(step.phase)
        if self._say is not None and step.source and step.source != self._source:
            self._source = step.source  # a bar says it at its end
            self._say(f"from {step.source}")

    def done(self) -> None:
        """Show that the last phase is over, too."""
        self._tracks.finish()


def harmless(text: str) -> str:
    """Return ``text`` without what a terminal would obey."""
    return text.translate(_CONTROL)


def table_lines(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int = 0) -> list[str]:
    """Return a table's lines: columns as wide as their widest cell, no spaces at the ends.

    Args:
        heads: Of the columns; none: no line for them.
        rows: As many cells in each.
        width: What lines should fit in, as far as they can; 0: any.
    """
    lines = [heads, *rows] if heads else list(rows)
    widths = [max(map(_columns, column)) for column in zip(*lines, strict=True)]
    for gap in (_GAP, _SMALL_GAP):
        found = _aligned(lines, widths, gap)
        if not width or all(_columns(line) <= width for line in found):
            return found
    widest = widths.index(max(widths))
    rest = [[*line[:widest], *line[widest + 1 :]] for line in lines]
    others = _aligned(rest, [*widths[:widest], *widths[widest + 1 :]], _SMALL_GAP)
    pairs = zip(lines, others, strict=True)
    return [text for line, other in pairs for text in (line[widest], _SMALL_GAP + other)]


def hanging_lines(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return columns of which the last is broken between words, below its own beginning.

    Args:
        rows: As many cells in each.
        width: What lines fit in, unless next to nothing is left for the last column.
    """
    from runner.cli.wrap import Wrapper

    widths = [
        max(map(_columns, column)) for column in zip(*(row[:-1] for row in rows), strict=True)
    ]
    indent = sum(widths) + len(_SMALL_GAP) * len(widths)
    lines: list[str] = []
    for *cells, text in rows:
        wrapper = Wrapper(lambda: max(_LEAST_TEXT, width - indent))
        first, *others = (wrapper.feed(text) + wrapper.end()).split("\n")
        lines.append("".join(_aligned([[*cells, first]], [*widths, 0], _SMALL_GAP)))
        lines += [" " * indent + other for other in others]
    return lines


def _aligned(lines: Sequence[Sequence[str]], widths: Sequence[int], gap: str) -> list[str]:
    return [
        gap.join(
            cell + " " * (width - _columns(cell)) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]


def _columns(text: str) -> int:
    """How many columns of a terminal ``text`` takes: a Chinese character has two."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum((2 if east_asian_width(char) in "WF" else 1) for char in text if not combining(char))


def _width() -> int:
    return _terminal()[0] - 3  # a full line makes some wrap, and so does the ^C that they show


def _height() -> int:
    return max(2, _terminal()[1])


def _terminal() -> tuple[int, int]:
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        return 80, 24
    return (size.columns or 80), (size.lines or 24)

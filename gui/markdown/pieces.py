"""Growing Markdown, cut into pieces of bounded size that never change again.

Only the last piece is open, so drawing a long answer costs the same at its end as at its beginning.
A piece ends where a block does; a block that grows too long is cut between lines, a list between
items, and each part of a table has the header again.

Pure; what a piece looks like is ``writer.py``'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: An open piece is cut when it has so many lines or characters.
MAX_LINES, MAX_CHARS = 40, 4000

_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*([^`]*)$")
_ITEM = re.compile(r"^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)")
_HEADING = re.compile(r"^ {0,3}#{1,6}\s")
_RULE = re.compile(r"^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)+\|?\s*$|^\s*\|\s*:?-+:?\s*\|\s*$")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer.

    Attributes:
        text: Markdown, or the lines of a code block.
        is_code: Which of the two.
        language: What the code block says it is.
        begins: Whether a code block begins with this piece, or goes on.
        ends: Whether it ends with it.
    """

    text: str
    is_code: bool = False
    language: str = ""
    begins: bool = True
    ends: bool = True


@dataclass(frozen=True, slots=True)
class _Fence:
    indent: int
    mark: str
    language: str


class Pieces:
    """Takes text as it comes and gives the pieces that are done."""

    def __init__(self) -> None:
        self._line = ""  # the one that is not ended
        self._lines: list[str] = []
        self._n_chars = 0
        self._fence: _Fence | None = None
        self._has_begun = False  # some of the open code block is out already
        self._is_list = False
        self._header: tuple[str, str] | None = None  # of the open table
        self._done: list[Piece] = []

    def feed(self, text: str) -> list[Piece]:
        """Add text; returns the pieces that ended with it."""
        *lines, rest = text.split("\n")
        for line in lines:
            self._take(self._line + line)
            self._line = ""
        self._line += rest
        while len(self._line) > MAX_CHARS:
            cut = self._line.rfind(" ", MAX_CHARS // 2, MAX_CHARS) + 1 or MAX_CHARS
            line, self._line = self._line[:cut], self._line[cut:]
            self._take(line)
        return self._taken()

    def draft(self) -> Piece | None:
        """Return the open piece as it stands."""
        lines = list(self._lines)
        # A line of fence marks is about to become something else: it is not shown as text.
        if self._line and not self._line.strip().startswith(("``", "~~~")):
            lines.append(self._unindented(self._line))
        if self._fence is not None:
            return self._code(lines, ends=False)
        return Piece("\n".join(lines)) if any(line.strip() for line in lines) else None

    def finish(self) -> list[Piece]:
        """Return what is left; nothing comes after."""
        if self._line:
            self._take(self._line)
            self._line = ""
        if self._fence is not None:
            self._end_code(ends=True)
        self._end_text()
        return self._taken()

    def _taken(self) -> list[Piece]:
        done, self._done = self._done, []
        return done

    def _take(self, line: str) -> None:
        line = line.removesuffix("\r")
        if self._fence is None:
            self._take_text(line)
        elif self._closes(line, self._fence):
            self._end_code(ends=True)
        else:
            self._add(self._unindented(line))
            if self._is_full():
                self._end_code(ends=False)

    def _take_text(self, line: str) -> None:
        if found := self._opening(line):
            self._end_text()
            self._fence = found
            self._has_begun = False
            return
        if self._begins_anew(line):
            self._end_text()
        elif self._is_full() and (not self._is_list or _ITEM.match(line) or self._is_overfull()):
            self._cut()
        if not self._lines and not line.strip():
            return
        if _RULE.match(line) and self._lines and "|" in self._lines[-1]:
            self._header = self._lines[-1], line
        self._is_list = self._is_list or bool(_ITEM.match(line))
        self._add(line)

    def _opening(self, line: str) -> _Fence | None:
        found = _FENCE.match(line)
        if found is None or (len(found[1]) > 3 and not self._is_list):
            return None
        words = found[3].split()
        return _Fence(len(found[1]), found[2], words[0].strip("{}.") if words else "")

    @staticmethod
    def _closes(line: str, fence: _Fence) -> bool:
        mark = line.strip()
        return len(mark) >= len(fence.mark) and not mark.strip(fence.mark[0])

    def _begins_anew(self, line: str) -> bool:
        """Whether ``line`` cannot belong to the open block."""
        if not self._lines or not line.strip():
            return False
        if _HEADING.match(line):
            return True
        if self._lines[-1].strip() or line[0] in " \t":
            return False
        return not (self._is_list and _ITEM.match(line))

    def _unindented(self, line: str) -> str:
        if self._fence is None:
            return line
        n_blank = len(line) - len(line.lstrip(" "))
        return line[min(self._fence.indent, n_blank) :]

    def _add(self, line: str) -> None:
        self._lines.append(line)
        self._n_chars += len(line)

    def _is_full(self) -> bool:
        return len(self._lines) >= MAX_LINES or self._n_chars >= MAX_CHARS

    def _is_overfull(self) -> bool:
        return len(self._lines) >= 2 * MAX_LINES or self._n_chars >= 2 * MAX_CHARS

    def _cut(self) -> None:
        """End the open piece in the middle of its block."""
        header, is_list = self._header, self._is_list
        self._end_text()
        self._is_list = is_list
        if header is not None:
            self._header = header
            for line in header:
                self._add(line)

    def _end_text(self) -> None:
        if any(line.strip() for line in self._lines):
            self._done.append(Piece("\n".join(self._lines)))
        self._clear()
        self._is_list = False
        self._header = None

    def _end_code(self, *, ends: bool) -> None:
        self._done.append(self._code(self._lines, ends=ends))
        self._has_begun = True
        self._clear()
        if ends:
            self._fence = None

    def _code(self, lines: list[str], *, ends: bool) -> Piece:
        assert self._fence is not None
        text = "\n".join(lines)
        return Piece(text, True, self._fence.language, not self._has_begun, ends)

    def _clear(self) -> None:
        self._lines = []
        self._n_chars = 0

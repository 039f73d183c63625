"""Lines of a terminal's width out of text that arrives in pieces, without cutting words.

Pure: text goes in, text with line breaks comes out, and how the text was cut into pieces does not
show.  A word is held back only while it may still have to move to the next line.  Whether to wrap
is for ``output.py`` to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wcwidth import wcwidth

_SPACES = frozenset(" \t\u3000")
_TAB = 8  # columns from one stop of a tab to the next
_JOINER, _EMOJI_STYLE = "\u200d", "\ufe0f"
_FLAG = "\u2690"  # stands for both halves of one
#: Between characters of two columns a line may end, but not before or after these.
_NOT_FIRST = frozenset("、。，．：；！？）」』】》〉〕］｝”’…—～・ー々,.!?:;)]}%'\"")  # noqa: RUF001
_NOT_LAST = frozenset("（「『【《〈〔［｛“‘([{'\"#$")  # noqa: RUF001


class Wrapper:
    """One answer on its way to a terminal.

    Spaces on which a line breaks go away.  Newlines and indentation stay; a word that is longer
    than a line is cut; what stands between lines of three backticks is left as it is.

    Args:
        width: Columns of a line; asked at each line's beginning, for windows change their size.
        line_break: What is put where a line had to end.
    """

    def __init__(self, width: Callable[[], int], line_break: str = "\n") -> None:
        self._ask_width = width
        self._line_break = line_break
        self._fence = _Fence()
        self._out: list[str] = []
        self._spaces = ""  # seen, not yet written: perhaps the line breaks here
        self._word: list[tuple[str, int]] = []  # held characters and their columns
        self._last, self._last_columns = "", 0  # the character before, if it stands in this line
        self._begin_line()
        self._is_indent = True

    def feed(self, text: str) -> str:
        """Return what can be written now that ``text`` has come."""
        for char in text:
            if char == "\n":
                self._end_line()
            elif self._fence.is_raw(char):
                self._is_indent = False
                self._write(char, self._columns(char))
                self._last = char
            elif char in _SPACES:
                self._take_space(char)
            else:
                self._take(char)
        return self._taken()

    def end(self) -> str:
        """Return what was held back; the text is over."""
        self._settle()
        self._write_spaces()
        return self._taken()

    def _taken(self) -> str:
        text = "".join(self._out)
        self._out.clear()
        return text

    def _take_space(self, char: str) -> None:
        self._settle()
        self._last = ""
        if self._is_indent:
            self._write(char, _space_columns(char, self._col))
        else:
            self._spaces += char

    def _take(self, char: str) -> None:
        joins = self._joins(char)
        n_columns = self._columns(char)
        if not joins and self._may_break_before(char, n_columns):
            self._settle()
        self._is_indent = False
        if self._is_first:  # no other line would have more room for this word
            self._place(char, n_columns, joins=joins)
        else:
            self._hold(char, n_columns, joins=joins)
        self._last_columns = max(n_columns, self._last_columns) if joins else n_columns
        is_flag = joins and _is_flag_half(char)
        self._last = _FLAG if is_flag else char  # a third half begins a new flag

    def _hold(self, char: str, n_columns: int, *, joins: bool) -> None:
        if joins and self._word:
            text, before = self._word[-1]
            self._word[-1] = (text + char, before + n_columns)
        else:
            self._word.append((char, n_columns))
        needed = self._after_spaces() + sum(columns for _, columns in self._word)
        if needed > self._width:
            self._break()
            for text, columns in self._word:
                self._place(text, columns)
            self._word.clear()

    def _place(self, text: str, n_columns: int, *, joins: bool = False) -> None:
        """Write a character of a word that stands first in its line."""
        if not joins and self._col and self._col + n_columns > self._width:
            self._break()
        self._write(text, n_columns)

    def _settle(self) -> None:
        """Write the held word, which has ended and fits."""
        if self._word:
            self._write_spaces()
            for text, n_columns in self._word:
                self._write(text, n_columns)
            self._word.clear()
        if not self._is_indent:
            self._is_first = False

    def _write(self, text: str, n_columns: int) -> None:
        self._out.append(text)
        self._col += n_columns

    def _write_spaces(self) -> None:
        """Write the spaces that have room; no terminal shows those at a line's end."""
        for char in self._spaces:
            n_columns = _space_columns(char, self._col)
            if self._col + n_columns <= self._width:
                self._write(char, n_columns)
        self._spaces = ""

    def _after_spaces(self) -> int:
        col = self._col
        for char in self._spaces:
            col += _space_columns(char, col)
        return col

    def _break(self) -> None:
        self._spaces = ""
        self._out.append(self._line_break)
        self._begin_line()

    def _end_line(self) -> None:
        self._settle()
        self._write_spaces()
        self._out.append("\n")
        self._fence.end_line()
        self._begin_line()
        self._is_indent = True

    def _begin_line(self) -> None:
        self._width = max(1, self._ask_width())
        self._col = 0
        self._is_first = True  # whether the line's first word is still being written
        self._is_indent = False
        self._last, self._last_columns = "", 0

    def _columns(self, char: str) -> int:
        """The columns that ``char`` adds to those before it."""
        if char == _EMOJI_STYLE:
            return 1 if self._last_columns == 1 else 0
        return 0 if self._joins(char) else max(0, wcwidth(char))

    def _joins(self, char: str) -> bool:
        """Whether ``char`` is one picture with what stands before it."""
        if not self._last:
            return False
        if self._last == _JOINER or wcwidth(char) == 0:
            return True
        if "\U0001f3fb" <= char <= "\U0001f3ff":  # colours of skin
            return self._last_columns == 2
        return _is_flag_half(char) and _is_flag_half(self._last) and self._last_columns == 2

    def _may_break_before(self, char: str, n_columns: int) -> bool:
        is_wide = n_columns == 2 or self._last_columns == 2
        if _is_hangul(char) and _is_hangul(self._last):
            return False  # Korean has spaces between its words
        return is_wide and char not in _NOT_FIRST and self._last not in _NOT_LAST


@dataclass(slots=True)
class _Fence:
    """Which lines are code: those between two lines that begin with three backticks."""

    n_open: int = 0  # backticks that opened the code; 0: there is none
    n_ticks: int = 0  # at the beginning of this line
    is_lead: bool = True
    has_more_ticks: bool = False  # then it is code within a line, and no fence
    is_bare: bool = True

    def is_raw(self, char: str) -> bool:
        """Take the line's next character; return whether it is to be left as it is."""
        if self.is_lead and char == "`":
            self.n_ticks += 1
        elif self.n_ticks or char not in _SPACES:
            self.is_lead = False
            self.has_more_ticks |= char == "`"
            self.is_bare &= char in _SPACES
        return bool(self.n_open) or (self.n_ticks >= 3 and not self.has_more_ticks)

    def end_line(self) -> None:
        """Take the line's end."""
        if self.n_open:
            if self.n_ticks >= self.n_open and self.is_bare:
                self.n_open = 0
        elif self.n_ticks >= 3 and not self.has_more_ticks:
            self.n_open = self.n_ticks
        self.n_ticks, self.is_lead, self.has_more_ticks, self.is_bare = 0, True, False, True


def _space_columns(char: str, col: int) -> int:
    if char == "\t":
        return _TAB - col % _TAB
    return 2 if char == "\u3000" else 1


def _is_flag_half(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _is_hangul(char: str) -> bool:
    return "\uac00" <= char <= "\ud7a3" or "\u1100" <= char <= "\u11ff"

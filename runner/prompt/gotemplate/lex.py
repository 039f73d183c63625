"""The source of a Go template as tokens: text, and what stands between ``{{`` and ``}}``.

Trimming is done here: ``{{-`` takes the spaces before it away, ``-}}`` those after it.  Source of
the rules: Go's ``text/template/parse``, in its documentation and by comparing with it in the tests.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from enum import Enum, auto

_SPACES = " \t\r\n"
_COMMENT_END = re.compile(r"\*/(?:([ \t\r\n])-)?\}\}")
_RIGHT = re.compile(r"([ \t\r\n]-)?\}\}")
_SPACE = re.compile(r"[ \t\r\n]+?(?=[ \t\r\n]-\}\}|[^ \t\r\n]|\Z)")
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
    r"|0[oO][0-7_]*(?:\.[0-7_]*)?|0[bB][01_]*(?:\.[01_]*)?"
    r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)
_WORD = re.compile(r"\w+")
_NAME = re.compile(r"\w*")
_QUOTED = {
    '"': (re.compile(r'"(?:\\[^\n]|[^"\\\n])*"'), "unterminated quoted string"),
    "`": (re.compile(r"`[^`]*`"), "unterminated raw quoted string"),
    "'": (re.compile(r"'(?:\\[^\n]|[^'\\\n])*'"), "unterminated character constant"),
}
KEYWORDS = frozenset(
    {
        *("block", "break", "continue", "define", "else", "end"),
        *("if", "nil", "range", "template", "with"),
    }
)


class Kind(Enum):
    """What a token is."""

    TEXT = auto()
    LEFT = auto()  # {{
    RIGHT = auto()  # }}
    SPACE = auto()
    KEYWORD = auto()
    WORD = auto()  # a function's name
    BOOL = auto()
    NUMBER = auto()
    CHAR = auto()  # 'x'
    STRING = auto()  # with its quotes
    DOT = auto()
    FIELD = auto()  # .Name
    VARIABLE = auto()  # $name
    SIGN = auto()  # ( ) | , := = and whatever else is one sign
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token; lines begin with 1."""

    kind: Kind
    text: str
    line: int

    def __str__(self) -> str:
        """As an error shows it."""
        if self.kind is Kind.END:
            return "EOF"
        shown = self.text if len(self.text) <= 20 else f"{self.text[:20]}..."
        return f"<{shown}>" if self.kind is Kind.KEYWORD else f'"{shown}"'


class BadTemplate(Exception):
    """A template cannot be parsed or run: ``args`` are the line, 0 when unknown, and why."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(line, reason)
        self.line = line
        self.reason = reason

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}" if self.line else self.reason


def tokens(source: str) -> Iterator[Token]:
    """Yield the tokens of ``source``, the last one is of kind ``END``.

    Raises:
        BadTemplate: Something in it is no token.
    """
    lines = _Lines(source)
    at = 0
    while True:
        left = source.find("{{", at)
        text = source[at:] if left < 0 else source[at:left]
        if left >= 0 and _trims_left(source, left + 2):
            text = text.rstrip(_SPACES)
        if text:
            yield Token(Kind.TEXT, text, lines.at(at))
        if left < 0:
            yield Token(Kind.END, "", lines.at(len(source)))
            return
        inner = left + (4 if _trims_left(source, left + 2) else 2)
        if comment := _comment(source, inner, lines.at(left)):
            at = comment
            continue
        yield Token(Kind.LEFT, "{{", lines.at(left))
        at = yield from _action(source, inner, lines)


def _trims_left(source: str, at: int) -> bool:
    return source.startswith("-", at) and source[at + 1 : at + 2] in tuple(_SPACES)


def _comment(source: str, at: int, line: int) -> int:
    """Where the text goes on after the comment at ``at``; 0: there is none."""
    if not source.startswith("/*", at):
        return 0
    end = source.find("*/", at + 2)
    if end < 0:
        raise BadTemplate(line, "unclosed comment")
    match = _COMMENT_END.match(source, end)
    if match is None:
        raise BadTemplate(line, "comment ends before closing delimiter")
    return _after_spaces(source, match.end()) if match[1] else match.end()


def _after_spaces(source: str, at: int) -> int:
    while at < len(source) and source[at] in _SPACES:
        at += 1
    return at


class _Lines:
    """Line numbers of places that only go forward."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at, self._line = 0, 1

    def at(self, place: int) -> int:
        self._line += self._source.count("\n", self._at, place)
        self._at = max(self._at, place)
        return self._line


def _action(source: str, at: int, lines: _Lines) -> Generator[Token, None, int]:
    """Yield the tokens up to ``}}``; returns where the text goes on."""
    depth = 0
    while True:
        line = lines.at(at)
        if right := _RIGHT.match(source, at):
            if depth:
                raise BadTemplate(line, "unclosed left paren")
            yield Token(Kind.RIGHT, "}}", line)
            return _after_spaces(source, right.end()) if right[1] else right.end()
        if at >= len(source):
            raise BadTemplate(line, "unclosed action")
        token, at = _token(source, at, line)
        depth += (token.text == "(") - (token.text == ")") if token.kind is Kind.SIGN else 0
        if depth < 0:
            raise BadTemplate(line, "unexpected right paren")
        yield token


def _token(source: str, at: int, line: int) -> tuple[Token, int]:
    """Return the token at ``at`` and the place after it."""
    sign = source[at]
    if sign in _SPACES:
        space = _SPACE.match(source, at)
        assert space, "there is a space"
        return Token(Kind.SPACE, " ", line), space.end()
    if sign in _QUOTED:
        return _quoted(source, at, line)
    if sign == ":":
        if source[at + 1 : at + 2] != "=":
            raise BadTemplate(line, "expected :=")
        return Token(Kind.SIGN, ":=", line), at + 2
    if sign.isalnum() or sign in "_.$+-":
        return _operand(source, at, line)
    if " " < sign <= "~":
        return Token(Kind.SIGN, sign, line), at + 1
    raise BadTemplate(line, f"unrecognized character in action: {sign!r}")


def _quoted(source: str, at: int, line: int) -> tuple[Token, int]:
    pattern, reason = _QUOTED[source[at]]
    quoted = pattern.match(source, at)
    if quoted is None:
        raise BadTemplate(line, reason)
    kind = Kind.CHAR if source[at] == "'" else Kind.STRING
    return Token(kind, quoted[0], line), quoted.end()


def _operand(source: str, at: int, line: int) -> tuple[Token, int]:
    sign = source[at]
    if sign == ".":
        is_number = "0" <= source[at + 1 : at + 2] <= "9"
        return _number(source, at, line) if is_number else _named(source, at, line, Kind.FIELD)
    if sign == "$":
        return _named(source, at, line, Kind.VARIABLE)
    if sign in "+-" or "0" <= sign <= "9":
        return _number(source, at, line)
    return _word(source, at, line)


def _named(source: str, at: int, line: int, kind: Kind) -> tuple[Token, int]:
    """A field or a variable; the sign alone is the whole value, or the first one."""
    match = _NAME.match(source, at + 1)
    assert match, "an empty name matches, too"
    _check_end(source, match.end(), line)
    if kind is Kind.FIELD and not match[0]:
        return Token(Kind.DOT, ".", line), at + 1
    return Token(kind, source[at : match.end()], line), match.end()


def _number(source: str, at: int, line: int) -> tuple[Token, int]:
    match = _NUMBER.match(source, at)
    assert match, "a sign alone matches, too"
    end = match.end()
    following = source[end : end + 1]
    if following.isalnum() or (following and following in "_+-"):
        raise BadTemplate(line, f'bad number syntax: "{source[at : end + 1]}"')
    return Token(Kind.NUMBER, match[0], line), end


def _word(source: str, at: int, line: int) -> tuple[Token, int]:
    match = _WORD.match(source, at)
    assert match, "it begins with a letter"
    _check_end(source, match.end(), line)
    word = match[0]
    kind = Kind.KEYWORD if word in KEYWORDS else Kind.WORD
    return Token(Kind.BOOL if word in ("true", "false") else kind, word, line), match.end()


def _check_end(source: str, at: int, line: int) -> None:
    sign = source[at : at + 1]
    if sign and sign not in " \t\r\n.,|:()" and not source.startswith("}}", at):
        raise BadTemplate(line, f"bad character {sign!r}")

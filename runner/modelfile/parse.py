"""A Modelfile's text as instructions with their places; the meaning is left to ``meaning.py``.

    # a comment
    FROM hf.co/Qwen/Qwen3-4B-GGUF:Q4_K_M
    PARAMETER temperature 0.6
    SYSTEM '''Be brief.
    Be kind.'''

(with double quotes for single ones.)  An instruction is a word, in any case, and a value: bare to
the end of the line, in double quotes, or in three of them.  A quoted value goes on over lines until
one ends with the quotes; nothing is escaped inside, and quotes within a line are part of it.  The
grammar is Ollama's (``parser/parser.go``).  Corral's own are MIRROR, SHA256, SIZE and ALIAS, for
its catalogue, and one form of value more, for texts in which a line ends with three quotes:

    SYSTEM <<END
    text
    END
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from runner.errors import InvalidRequest

_OLLAMA = (
    *("from", "license", "template", "system", "adapter", "draft", "renderer", "parser"),
    *("parameter", "message", "requires"),
)
_OURS = ("mirror", "sha256", "size", "alias")
COMMANDS = frozenset({*_OLLAMA, *_OURS})
#: Of lines that are kept for ``formatted`` alone.
COMMENT = "#"
ROLES = ("system", "user", "assistant")
QUOTES = '"""'
HEREDOC = re.compile(r"<<([A-Z][A-Z0-9_]*)")

#: Values that may be empty.
_MAY_BE_EMPTY = frozenset({"system", "template", "license", "message"})
_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
_ONLY_CRLF = re.compile(r"(?<!\r)\n|\r(?!\n)")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Attributes:
        command: In lower case: ``from``.
        value: Its value, without quotes.
        key: The parameter's name, or the message's role; else empty.
        line: Where it begins; the first line is 1.
    """

    command: str
    value: str
    key: str
    line: int


def parse(text: str) -> tuple[Instruction, ...]:
    """Return the instructions of ``text`` in their order.

    Raises:
        InvalidRequest: It is no Modelfile; the message has the line.  One without ``FROM`` is none.
    """
    found = tuple(one for one in instructions(text) if one.command != COMMENT)
    if not any(instruction.command == "from" for instruction in found):
        raise InvalidRequest(
            "no FROM line", hint="say what the model is made from: FROM smollm2", param="modelfile"
        )
    return found


def decode(content: bytes) -> str:
    """Return a Modelfile's text: UTF-8, or UTF-16 with a byte order mark.

    Raises:
        InvalidRequest: It is neither.
    """
    is_utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"the Modelfile is no text at byte {error.start}", param="modelfile"
        ) from None


def instructions(text: str) -> Iterator[Instruction]:
    """Yield the instructions of ``text``, and its comments as those of ``COMMENT``.

    Raises:
        InvalidRequest: As ``parse``, but that ``FROM`` is missing.
    """
    lines = _lines(text.removeprefix("\ufeff"))
    last = {line: number for number, (line, _) in enumerate(lines)}
    at = 0
    while at < len(lines):
        begin, whole = at, lines[at][0]
        line = whole.strip()
        at += 1
        if not line:
            continue
        if line.startswith("#"):
            yield Instruction(COMMENT, line, "", begin + 1)
            continue
        command, rest = _word(line)
        if command.lower() not in COMMANDS:
            hint = meant(command.lower(), COMMANDS).upper()
            hint = f"did you mean {hint}?" if hint else ""
            raise _bad(begin, f"command must be one of {_list(_OLLAMA)}", hint)
        key = ""
        if command.lower() in ("parameter", "message"):
            key, rest = _word(rest)
            if command.lower() == "message" and key.lower() not in ROLES:
                raise _bad(begin, f"message role must be one of {_list(ROLES)}")
            key = key.lower()
        # As Ollama has it, a space says that nothing is meant; a line that just stops was cut off.
        may_be_empty = command.lower() in _MAY_BE_EMPTY and (rest or whole[-1].isspace())
        value, at = _value(rest, lines, at, last)
        if not value and not may_be_empty:
            raise _bad(begin, f"{command.upper()} {key}".rstrip() + " has no value")
        yield Instruction(command.lower(), value, key, begin + 1)


def is_plain(value: str) -> bool:
    """Whether ``value`` comes out of the end of a line as it went in, without quotes."""
    bare = not value.startswith('"') and not HEREDOC.fullmatch(value)
    return bool(value) and bare and value == value.strip() and not set("\r\n") & set(value)


def is_closed(text: str, quotes: str) -> bool:
    """Whether ``text``, from its opening quotes to the end of a line, is a whole value."""
    whole = text.rstrip()
    return len(whole) >= 2 * len(quotes) and whole.endswith(quotes)


def _lines(text: str) -> list[tuple[str, str]]:
    """Return each line and what ends it."""
    if not _ONLY_CRLF.search(text):  # a file of Windows: what ends its lines is no part of it
        text = text.replace("\r\n", "\n")
    found = [(match[1], match[2]) for match in _LINE.finditer(text)]
    return found[:-1] if found[-1] == ("", "") else found


def _word(line: str) -> tuple[str, str]:
    """Return the first word and the rest, without the space between."""
    parts = line.split(None, 1)
    return (parts[0] if parts else ""), (parts[1] if len(parts) > 1 else "")


def _value(
    rest: str, lines: list[tuple[str, str]], at: int, last: dict[str, int]
) -> tuple[str, int]:
    """Return the value that ``rest`` begins and the number of the line after it.

    ``last`` has the last line of each text.
    """
    for quotes in (QUOTES, '"'):
        if rest.startswith(quotes):
            return _quoted(rest, quotes, lines, at)
    heredoc = HEREDOC.fullmatch(rest)
    if heredoc and last.get(heredoc[1], -1) >= at:
        end = next(n for n in range(at, len(lines)) if lines[n][0] == heredoc[1])
        body = "".join(line + ending for line, ending in lines[at:end])
        return body[:-1], end + 1  # without the end of its last line
    return rest.strip(), at


def _quoted(rest: str, quotes: str, lines: list[tuple[str, str]], at: int) -> tuple[str, int]:
    begin, line = at - 1, lines[at - 1][0]
    # With the spaces at the line's end, which are part of a value that goes on.
    pieces = [line[len(line.rstrip()) - len(rest) :]]
    if is_closed(pieces[0], quotes):
        return pieces[0].rstrip()[len(quotes) : -len(quotes)], at
    while at < len(lines):
        pieces.append(lines[at - 1][1] + lines[at][0])
        at += 1
        if pieces[-1].rstrip().endswith(quotes):
            whole = "".join(pieces).rstrip()
            if is_closed(whole, quotes):
                return whole[len(quotes) : -len(quotes)], at
    raise _bad(begin, f"unexpected EOF: the value has no closing {quotes}")


def _list(words: tuple[str, ...]) -> str:
    quoted = [f'"{word}"' for word in words]
    return f"{', '.join(quoted[:-1])}, or {quoted[-1]}"


def meant(word: str, words: Iterable[str]) -> str:
    """Return the one of ``words`` that was probably meant by ``word``, or an empty text."""
    import difflib  # here, because good Modelfiles have no use for it

    return next(iter(difflib.get_close_matches(word[:80], sorted(words), n=1)), "")


def _bad(line: int, reason: str, hint: str = "") -> InvalidRequest:
    return InvalidRequest(f"(line {line + 1}): {reason}", hint=hint, param="modelfile")

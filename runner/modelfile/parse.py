"""A Modelfile's text as instructions with their places; the meaning is left to those who use it.

    # a comment
    FROM hf.co/Qwen/Qwen3-4B-GGUF:Q4_K_M
    PARAMETER temperature 0.6
    SYSTEM '''Be brief.
    Be kind.'''

An instruction is a word, in any case, and a value: bare to the end of the line, in double quotes,
or in three of them over several lines; nothing is escaped inside.  The grammar is Ollama's
(``parser/parser.go``); MIRROR, SHA256, SIZE and ALIAS are Corral's own, for its catalogue.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runner.errors import InvalidRequest

_OLLAMA = (
    *("from", "license", "template", "system", "adapter", "draft", "renderer", "parser"),
    *("parameter", "message", "requires"),
)
_OURS = ("mirror", "sha256", "size", "alias")
COMMANDS = frozenset({*_OLLAMA, *_OURS})
_ROLES = ("system", "user", "assistant")
_QUOTES = '"""'


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
    found = tuple(_instructions(text.removeprefix("\ufeff")))
    if not any(instruction.command == "from" for instruction in found):
        raise InvalidRequest("no FROM line", hint="say what the model is made from: FROM smollm2")
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
        raise InvalidRequest(f"the Modelfile is no text at byte {error.start}") from None


def _instructions(text: str) -> Iterator[Instruction]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    at = 0
    while at < len(lines):
        begin, line = at, lines[at].strip()
        at += 1
        if not line or line.startswith("#"):
            continue
        command, rest = _word(line)
        if command.lower() not in COMMANDS:
            raise _bad(begin, f"command must be one of {_list(_OLLAMA)}")
        key = ""
        if command.lower() in ("parameter", "message"):
            key, rest = _word(rest)
            if command.lower() == "message" and key.lower() not in _ROLES:
                raise _bad(begin, f"message role must be one of {_list(_ROLES)}")
            key = key.lower()
        value, at = _value(rest, lines, at)
        if not value and command.lower() not in ("system", "template", "license", "message"):
            raise _bad(begin, f"{command.upper()} {key}".rstrip() + " has no value")
        yield Instruction(command.lower(), value, key, begin + 1)


def _word(line: str) -> tuple[str, str]:
    """Return the first word and the rest, without the space between."""
    parts = line.split(None, 1)
    return (parts[0] if parts else ""), (parts[1] if len(parts) > 1 else "")


def _value(rest: str, lines: list[str], at: int) -> tuple[str, int]:
    """Return the value that ``rest`` begins and the number of the line after it."""
    if rest.startswith(_QUOTES):
        return _quoted(rest[len(_QUOTES) :], _QUOTES, lines, at)
    if rest.startswith('"') and rest != '"':
        return _quoted(rest[1:], '"', lines, at)
    return rest.strip(), at


def _quoted(rest: str, quotes: str, lines: list[str], at: int) -> tuple[str, int]:
    begin = at - 1
    pieces = [rest]
    while quotes not in pieces[-1]:
        if at == len(lines):
            raise _bad(begin, f"unexpected EOF: the value has no closing {quotes}")
        pieces.append(lines[at])
        at += 1
    pieces[-1], _, after = pieces[-1].partition(quotes)
    if after.strip():
        raise _bad(at - 1, f"unexpected text after the closing {quotes}: {after.strip()[:40]}")
    return "\n".join(pieces), at


def _list(words: tuple[str, ...]) -> str:
    quoted = [f'"{word}"' for word in words]
    return f"{', '.join(quoted[:-1])}, or {quoted[-1]}"


def _bad(line: int, reason: str) -> InvalidRequest:
    return InvalidRequest(f"(line {line + 1}): {reason}", param="modelfile")

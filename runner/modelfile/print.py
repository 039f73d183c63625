"""Instructions as a Modelfile's text, such that ``parse`` gives the same instructions back."""

from __future__ import annotations

from collections.abc import Iterable

from runner.modelfile.parse import (
    COMMENT,
    QUOTES,
    Instruction,
    instructions,
    is_closed,
    is_plain,
)

#: Values that people expect in quotes even where they need none.
_QUOTED = frozenset({"system", "template", "license"})


def printed(found: Iterable[Instruction]) -> str:
    """Return ``found`` as text, one instruction after the other; its line numbers do not count."""
    return "".join(f"{_line(one)}\n" for one in found)


def formatted(text: str) -> str:
    """Return a Modelfile in its usual form, comments kept and blocks apart by one empty line.

    Raises:
        InvalidRequest: It has an instruction that cannot be read; the message has the line.
    """
    pieces: list[str] = []
    before: Instruction | None = None
    for one in instructions(text):
        if before is not None and _is_apart(before, one):
            pieces.append("\n")
        pieces.append(printed([one]))
        before = one
    return "".join(pieces)


def _is_apart(before: Instruction, one: Instruction) -> bool:
    """Whether an empty line stands between two: around long values, and before comments."""
    if before.command == COMMENT:
        return False
    is_long = "\n" in before.value or "\n" in one.value
    return is_long or one.command == COMMENT or before.command != one.command == "message"


def _line(one: Instruction) -> str:
    if one.command == COMMENT:
        return one.value
    words = [one.command.upper(), one.key] if one.key else [one.command.upper()]
    return " ".join([*words, _value(one)])


def _value(one: Instruction) -> str:
    value = one.value
    if is_plain(value) and one.command not in _QUOTED:
        return value
    first, *others = f"{QUOTES}{value}".replace("\r", "\n").split("\n")
    inner = [first, *others[:-1]] if others else []  # lines after which the value goes on
    if not any(
        is_closed(line, QUOTES) if line is first else line.rstrip().endswith(QUOTES)
        for line in inner
    ):
        return f"{QUOTES}{value}{QUOTES}"
    word = "END"
    while word in (first, *others):
        word += "_"
    return f"<<{word}\n{value}\n{word}"

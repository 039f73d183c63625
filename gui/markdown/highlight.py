"""Code in colours: the words of a text and what each is, by Pygments."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pygments.lexer import Lexer

#: Colours by what a word is: on a light ground, on a dark one; contrast 4.5 or more.
_COLOURS = {
    "Keyword": ("#8250a6", "#d2a8ff"),
    "Name.Function": ("#0b57d0", "#8ab4f8"),
    "Name.Class": ("#0b57d0", "#8ab4f8"),
    "Name.Tag": ("#0b57d0", "#8ab4f8"),
    "Name.Builtin": ("#0e6470", "#6fd3e0"),
    "Name.Decorator": ("#8250a6", "#d2a8ff"),
    "Name.Attribute": ("#8a4b00", "#f0b072"),
    "Literal.String": ("#24704f", "#8fd6a9"),
    "Literal.Number": ("#8a4b00", "#f0b072"),
    "Comment": ("#5c6770", "#9aa5ae"),
    "Operator.Word": ("#8250a6", "#d2a8ff"),
    "Generic.Inserted": ("#24704f", "#8fd6a9"),
    "Generic.Deleted": ("#b3261e", "#f28b82"),
    "Generic.Heading": ("#0b57d0", "#8ab4f8"),
}


def words(code: str, language: str, *, is_dark: bool) -> Iterator[tuple[str, str]]:
    """Yield ``code`` in parts, each with its colour; an empty colour is that of plain text."""
    lexer = _lexer(language.lower())
    if lexer is None:
        yield code, ""
        return
    left = len(code)
    for kind, text in lexer.get_tokens(code):
        # Pygments adds a line end, which the code has not.
        text = text[:left]
        left -= len(text)
        if text:
            yield text, _colour(str(kind), is_dark)


def warm_up() -> None:
    """Import what the first code block needs; takes long, so on another thread than the GUI's."""
    for _ in words("x = 1", "python", is_dark=False):
        pass


@lru_cache(maxsize=256)
def _colour(kind: str, is_dark: bool) -> str:
    name = kind.removeprefix("Token.")
    while name:
        if found := _COLOURS.get(name):
            return found[is_dark]
        name = name.rpartition(".")[0]
    return ""


@lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer | None:
    if not language or language in ("text", "plain", "txt"):
        return None
    # Here, because most answers have no code and it takes long to import.
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    as_it_is: dict[str, Any] = {"stripnl": False, "ensurenl": True}
    try:
        return get_lexer_by_name(language, **as_it_is)
    except ClassNotFound:
        return None

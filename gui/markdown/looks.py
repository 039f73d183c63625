"""How the parts of a document look: families for code, tables, links, words in a block."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontDatabase,
    QTextCharFormat,
    QTextCursor,
    QTextFrameFormat,
    QTextLength,
    QTextTableFormat,
)

from gui.theme import Colours

if TYPE_CHECKING:
    from markdown_it.token import Token

_BREAK = "\u2028"  # a new line in the same block


@cache
def mono_families() -> list[str]:
    """Return the families for code, the system's own first."""
    return [QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont).family(), "monospace"]


def table_format() -> QTextTableFormat:
    """Return a table as wide as the document, without lines."""
    form = QTextTableFormat()
    form.setWidth(QTextLength(QTextLength.Type.PercentageLength, 100))
    form.setCellSpacing(0)
    form.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_None)
    return form


def write_words(
    cursor: QTextCursor, tokens: list[Token], plain: QTextCharFormat, colours: Colours
) -> None:
    """Draw the words of a block."""
    formats = [plain]
    for token in tokens:
        letters = formats[-1]
        match token.type:
            case "text" | "text_special" | "html_inline":
                cursor.insertText(token.content, letters)
            case "code_inline":
                cursor.insertText(token.content, _code_word(letters, colours))
            case "softbreak" | "hardbreak":
                cursor.insertText(_BREAK, letters)
            case "image":
                address = str(token.attrGet("src") or "")
                name = token.content or address
                cursor.insertText(name, _link(letters, address, colours))
            case "strong_open" | "em_open" | "s_open" | "link_open":
                formats.append(_opened(token, letters, colours))
            case "strong_close" | "em_close" | "s_close" | "link_close":
                formats.pop()
            case _:
                pass  # tokens that this parser does not make


def _opened(token: Token, letters: QTextCharFormat, colours: Colours) -> QTextCharFormat:
    new = QTextCharFormat(letters)
    match token.type:
        case "strong_open":
            new.setFontWeight(QFont.Weight.Bold)
        case "em_open":
            new.setFontItalic(True)
        case "s_open":
            new.setFontStrikeOut(True)
        case _:
            return _link(letters, str(token.attrGet("href") or ""), colours)
    return new


def _code_word(letters: QTextCharFormat, colours: Colours) -> QTextCharFormat:
    new = QTextCharFormat(letters)
    new.setFontFamilies(mono_families())
    new.setBackground(QBrush(QColor(colours.code)))
    return new


def _link(letters: QTextCharFormat, address: str, colours: Colours) -> QTextCharFormat:
    new = QTextCharFormat(letters)
    new.setAnchor(True)
    new.setAnchorHref(address)
    new.setToolTip(address)
    new.setForeground(QColor(colours.accent))
    new.setFontUnderline(True)
    return new


def alignment(style: str) -> Qt.AlignmentFlag:
    """Return where the words of a cell stand; ``style`` is the parser's."""
    if "right" in style:
        return Qt.AlignmentFlag.AlignRight
    return Qt.AlignmentFlag.AlignHCenter if "center" in style else Qt.AlignmentFlag.AlignLeft

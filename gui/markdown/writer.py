"""Pieces of Markdown, drawn at the end of a ``QTextDocument``.

``settle`` draws a piece for good; ``draft`` draws the open one, which the next call takes away
again.  Whatever way the text arrived, the document is the same in the end.

Nothing is fetched: a picture becomes a link to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
    QTextTable,
    QTextTableCell,
    QTextTableCellFormat,
    QTextTableFormat,
)

from gui.markdown.blocks import Blocks
from gui.markdown.highlight import warm_up as warm_up_words, words
from gui.markdown.looks import mono_families, table_format
from gui.markdown.pieces import Piece
from gui.theme import Colours

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

#: Links of our own: copy the code block with this number.
COPY = "corral-copy:"
#: A code block is drawn in parts of so many pieces: Qt lays a changed cell out as a whole.
_PIECES_A_TABLE = 4
#: Pixels between a code block and what is under it; Qt leaves out the margin above a block there.
_BELOW_CODE = 10
#: Height of a line, in sizes of its letters: what the taller ones of code and Chinese need too.
_LINE = 1.6
_SIZES = {"h1": 1.45, "h2": 1.25, "h3": 1.12}


@cache
def _parser() -> MarkdownIt:
    # Here, because it takes long to import and the window is there before the first answer.
    from markdown_it import MarkdownIt

    # Nested deeper than this, text is shown as it is; a stranger's text may not exhaust the stack.
    return MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20}).enable(
        ["table", "strikethrough"]
    )


def warm_up() -> None:
    """Import what the first text needs; takes long, so on another thread than the GUI's."""
    _parser()
    warm_up_words()


class Writer:
    """Draws into one document; used on the GUI's thread."""

    def __init__(self, document: QTextDocument, colours: Colours, font_px: int) -> None:
        self.codes: list[str] = []  # the text of each code block, by its number
        self._document = document
        self._colours = colours
        self._font_px = font_px
        self._is_dark = QColor(colours.ground).lightness() < 128
        self._draft: _Mark | None = None
        self._code: _CodeBlock | None = None
        self._cursor = QTextCursor(document)
        self._is_free = True  # the last block is empty and may be used
        self._copy_word = "Copy"

    def say_copy(self, word: str) -> None:
        """Name the link that copies a code block."""
        self._copy_word = word

    def settle(self, piece: Piece) -> None:
        """Draw ``piece`` for good."""
        with self._one_edit():
            self._drop_draft()
            self._write(piece)

    def draft(self, piece: Piece | None) -> None:
        """Draw ``piece`` until the next call."""
        with self._one_edit():
            self._drop_draft()
            if piece is None:
                return
            self._cursor.movePosition(QTextCursor.MoveOperation.End)
            self._draft = _Mark(self._cursor, self._is_free, len(self.codes))
            if self._code is not None:
                self._draft.code = self._code.copy()
                self._draft.in_cell = self._code.end()
            self._write(piece)

    @contextmanager
    def _one_edit(self) -> Iterator[None]:
        """Have Qt lay out once what is drawn meanwhile, not after every word."""
        self._cursor.beginEditBlock()
        try:
            yield
        finally:
            self._cursor.endEditBlock()

    def _write(self, piece: Piece) -> None:
        if piece.is_code:
            self._write_code(piece)
        else:
            self._write_text(piece.text)

    # Drafts

    def _drop_draft(self) -> None:
        mark, self._draft = self._draft, None
        if mark is None:
            return
        was, self._code = self._code, mark.code
        if mark.code is not None and was is not None and was.number == mark.code.number:
            self.codes[was.number] = mark.code.text
            if was.table == mark.code.table:
                cursor = QTextCursor(self._document)
                cursor.setPosition(mark.in_cell)
                cursor.setPosition(was.end(), QTextCursor.MoveMode.KeepAnchor)
                cursor.removeSelectedText()
                self._cursor.movePosition(QTextCursor.MoveOperation.End)
                return
        del self.codes[mark.n_codes :]
        cursor = self._cursor
        cursor.setPosition(mark.position)
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        self._is_free = mark.is_free
        if mark.is_free:
            if held := cursor.currentList():
                held.remove(cursor.block())
            self._blank(self._document.blockCount() > 1)
        else:  # an empty block takes the look of the one that was joined to it
            cursor.setBlockFormat(mark.form)
            cursor.setBlockCharFormat(mark.letters)

    # Blocks

    def _write_text(self, text: str) -> None:
        self._code = None
        Blocks(self, _parser().parse(text)).write()

    def block(self, form: QTextBlockFormat, letters: QTextCharFormat) -> QTextCursor:
        """Begin a block and return where its text goes."""
        cursor = self._cursor
        cursor.movePosition(QTextCursor.MoveOperation.End)
        if self._is_free:
            cursor.setBlockFormat(form)
            cursor.setBlockCharFormat(letters)
            cursor.setCharFormat(letters)
            self._is_free = False
        else:
            cursor.insertBlock(form, letters)
        return cursor

    def table(self, n_rows: int, n_columns: int, form: QTextTableFormat) -> QTextTable:
        """Insert a table at the end."""
        cursor = self._cursor
        cursor.movePosition(QTextCursor.MoveOperation.End)
        if not self._is_free:
            cursor.insertBlock(QTextBlockFormat(), QTextCharFormat())
        table = cursor.insertTable(n_rows, n_columns, form)
        cursor.movePosition(QTextCursor.MoveOperation.End)
        self._blank(True)
        return table

    def _blank(self, is_flat: bool) -> None:
        """Make the last block, which is empty, one to write to; flat: it takes no height."""
        form, letters = QTextBlockFormat(), QTextCharFormat()
        if is_flat:
            form.setLineHeight(1, QTextBlockFormat.LineHeightTypes.FixedHeight.value)
            letters.setFontPointSize(1)
        self._cursor.setBlockFormat(form)
        self._cursor.setBlockCharFormat(letters)
        self._cursor.setCharFormat(letters)
        self._is_free = True

    # Code

    def _write_code(self, piece: Piece) -> None:
        if piece.begins or self._code is None:
            self.codes.append("")
            self._code = _CodeBlock(len(self.codes) - 1, self._code_table(piece.language, True))
        elif self._code.n_pieces >= _PIECES_A_TABLE:
            table = self._code_table(piece.language, False)
            self._code = _CodeBlock(self._code.number, table, text=self._code.text)
        code = self._code
        cursor = code.cell().lastCursorPosition()
        if code.n_pieces:
            cursor.insertBlock()
        code.n_pieces += 1
        code.text += ("\n" if code.text else "") + piece.text
        self.codes[code.number] = code.text
        for word, colour in words(piece.text, piece.language, is_dark=self._is_dark):
            cursor.insertText(word, self._code_letters(colour))
        self._cursor.movePosition(QTextCursor.MoveOperation.End)
        if piece.ends:
            form = code.table.format().toTableFormat()
            form.setBottomMargin(_BELOW_CODE)
            code.table.setFormat(form)
            self._code = None

    def settle_code(self, text: str, language: str) -> None:
        """Draw a whole code block that stands inside another block."""
        open_block, self._code = self._code, None
        self._write_code(Piece(text.removesuffix("\n"), True, language))
        self._code = open_block

    def _code_table(self, language: str, has_head: bool) -> QTextTable:
        form = table_format()
        form.setBorder(0)
        form.setCellPadding(8)
        form.setTopMargin(4 if has_head else 0)
        form.setBottomMargin(0)
        table = self.table(2 if has_head else 1, 1, form)
        for row in range(table.rows()):
            ground = QTextTableCellFormat(table.cellAt(row, 0).format().toTableCellFormat())
            ground.setBackground(QBrush(QColor(self._colours.code)))
            if has_head and row == 0:
                ground.setBottomPadding(1)
            table.cellAt(row, 0).setFormat(ground)
        if has_head:
            cursor = table.cellAt(0, 0).firstCursorPosition()
            muted = QTextCharFormat()
            muted.setForeground(QColor(self._colours.muted))
            muted.setFontWeight(QFont.Weight.Medium)
            cursor.insertText(f"{language}   " if language else "", muted)
            link = QTextCharFormat()
            link.setAnchor(True)
            link.setAnchorHref(f"{COPY}{len(self.codes) - 1}")
            link.setForeground(QColor(self._colours.accent))
            cursor.insertText(self._copy_word, link)
        return table

    def _code_letters(self, colour: str) -> QTextCharFormat:
        letters = QTextCharFormat()
        letters.setFontFamilies(mono_families())
        letters.setFontFixedPitch(True)
        letters.setForeground(QColor(colour or self._colours.text))
        return letters

    def letters(self) -> QTextCharFormat:
        """Return the look of plain text."""
        letters = QTextCharFormat()
        letters.setForeground(QColor(self._colours.text))
        return letters

    def heading(self, tag: str) -> QTextCharFormat:
        """Return the look of a heading, ``h1`` to ``h6``."""
        letters = self.letters()
        letters.setFontWeight(QFont.Weight.DemiBold)
        letters.setProperty(
            QTextFormat.Property.FontPixelSize, round(self._font_px * _SIZES.get(tag, 1.0))
        )
        return letters

    def line_px(self, tag: str) -> int:
        """Return the height of a line of plain text, or of a heading, in pixels."""
        return round(self._font_px * _SIZES.get(tag, 1.0) * _LINE)

    @property
    def colours(self) -> Colours:
        """The palette it draws in."""
        return self._colours


class _Mark:
    """Where a draft began, and how things stood there."""

    def __init__(self, cursor: QTextCursor, is_free: bool, n_codes: int) -> None:
        self.position = cursor.position()
        self.form = cursor.blockFormat()
        self.letters = cursor.blockCharFormat()
        self.is_free = is_free
        self.n_codes = n_codes
        self.code: _CodeBlock | None = None
        self.in_cell = 0


class _CodeBlock:
    """The code block that is being written."""

    def __init__(self, number: int, table: QTextTable, n_pieces: int = 0, text: str = "") -> None:
        self.number = number
        self.table = table
        self.n_pieces = n_pieces  # in this table
        self.text = text

    def cell(self) -> QTextTableCell:
        """Where the code goes."""
        return self.table.cellAt(self.table.rows() - 1, 0)

    def end(self) -> int:
        """The place behind its last character."""
        return self.cell().lastCursorPosition().position()

    def copy(self) -> _CodeBlock:
        """Return it as it stands now."""
        return _CodeBlock(self.number, self.table, self.n_pieces, self.text)

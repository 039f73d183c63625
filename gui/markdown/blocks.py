"""The blocks of one piece of Markdown, drawn: headings, lists, quotations, tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextFormat,
    QTextFrameFormat,
    QTextLength,
    QTextList,
    QTextListFormat,
    QTextTable,
    QTextTableCellFormat,
    QTextTableFormat,
)

from gui.markdown.looks import alignment, table_format, write_words
from gui.theme import Colours

if TYPE_CHECKING:
    from markdown_it.token import Token


class Sheet(Protocol):
    """What is drawn on: the end of a document."""

    @property
    def colours(self) -> Colours:
        """The palette it draws in."""

    def block(self, form: QTextBlockFormat, letters: QTextCharFormat) -> QTextCursor:
        """Begin a block and return where its text goes."""

    def table(self, n_rows: int, n_columns: int, form: QTextTableFormat) -> QTextTable:
        """Insert a table at the end."""

    def letters(self) -> QTextCharFormat:
        """Return the look of plain text."""

    def heading(self, tag: str) -> QTextCharFormat:
        """Return the look of a heading, ``h1`` to ``h6``."""

    def line_px(self, tag: str) -> int:
        """Return the height of a line of plain text (an empty tag), or of a heading."""

    def settle_code(self, text: str, language: str) -> None:
        """Draw a whole code block that stands inside another block."""


class Blocks:
    """Draws the tokens of one piece."""

    def __init__(self, sheet: Sheet, tokens: list[Token]) -> None:
        self._sheet = sheet
        self._tokens = tokens
        self._lists: list[tuple[QTextListFormat, QTextList | None]] = []
        self._is_item = False  # the next block carries the item's mark
        self._n_quotes = 0
        self._tag = ""
        self._table: _Rows | None = None

    def write(self) -> None:
        """Draw all of them."""
        for token in self._tokens:
            draw = getattr(self, f"_on_{token.type}", None)
            if draw is not None:
                draw(token)

    def _on_heading_open(self, token: Token) -> None:
        self._tag = token.tag

    def _on_heading_close(self, _: Token) -> None:
        self._tag = ""

    def _on_bullet_list_open(self, _: Token) -> None:
        form = QTextListFormat()
        styles = QTextListFormat.Style
        form.setStyle((styles.ListDisc, styles.ListCircle)[len(self._lists) % 2])
        self._open_list(form)

    def _on_ordered_list_open(self, token: Token) -> None:
        form = QTextListFormat()
        form.setStyle(QTextListFormat.Style.ListDecimal)
        form.setStart(int(token.attrGet("start") or 1))
        self._open_list(form)

    def _open_list(self, form: QTextListFormat) -> None:
        form.setIndent(len(self._lists) + 1)
        self._lists.append((form, None))

    def _on_bullet_list_close(self, _: Token) -> None:
        self._lists.pop()

    _on_ordered_list_close = _on_bullet_list_close

    def _on_list_item_open(self, _: Token) -> None:
        self._is_item = True

    def _on_list_item_close(self, _: Token) -> None:
        if self._is_item:  # an empty one
            self._begin(self._sheet.letters())

    def _on_blockquote_open(self, _: Token) -> None:
        self._n_quotes += 1

    def _on_blockquote_close(self, _: Token) -> None:
        self._n_quotes -= 1

    def _on_hr(self, _: Token) -> None:
        form = QTextBlockFormat()
        form.setProperty(
            QTextFormat.Property.BlockTrailingHorizontalRulerWidth,
            QTextLength(QTextLength.Type.PercentageLength, 100),
        )
        self._sheet.block(form, self._sheet.letters())

    def _on_fence(self, token: Token) -> None:
        # Fences of their own are pieces of their own; this one stands in a list or a quotation.
        words_of = token.info.split()
        self._is_item = False
        self._sheet.settle_code(token.content, words_of[0] if words_of else "")

    _on_code_block = _on_fence

    def _on_table_open(self, _: Token) -> None:
        self._table = _Rows()

    def _on_tr_open(self, _: Token) -> None:
        assert self._table is not None
        self._table.rows.append([])

    def _on_th_open(self, token: Token) -> None:
        assert self._table is not None
        self._table.style = str(token.attrGet("style") or "")

    _on_td_open = _on_th_open

    def _on_table_close(self, _: Token) -> None:
        assert self._table is not None
        rows, self._table = self._table.rows, None
        self._write_table(rows)

    def _on_inline(self, token: Token) -> None:
        if self._table is not None:
            self._table.rows[-1].append((token, self._table.style))
            return
        letters = self._sheet.heading(self._tag) if self._tag else self._sheet.letters()
        if self._n_quotes:
            letters.setForeground(QColor(self._sheet.colours.muted))
        write_words(self._begin(letters), token.children or [], letters, self._sheet.colours)

    def _begin(self, letters: QTextCharFormat) -> QTextCursor:
        form = QTextBlockFormat()
        least = QTextBlockFormat.LineHeightTypes.MinimumHeight
        form.setLineHeight(self._sheet.line_px(self._tag), least.value)
        form.setTopMargin(10 if self._tag else 2)
        form.setBottomMargin(2 if self._lists else 6)
        form.setLeftMargin(20 * self._n_quotes)
        if self._n_quotes:
            form.setBackground(QBrush(QColor(self._sheet.colours.code)))
        if self._tag:
            form.setHeadingLevel(int(self._tag[1:]))
        if self._lists and not self._is_item:
            form.setIndent(len(self._lists))
        cursor = self._sheet.block(form, letters)
        if self._lists and self._is_item:
            form_of, held = self._lists[-1]
            if held is None:
                self._lists[-1] = form_of, cursor.createList(form_of)
            else:
                held.add(cursor.block())
        self._is_item = False
        return cursor

    def _write_table(self, rows: list[list[tuple[Token, str]]]) -> None:
        n_columns = max((len(row) for row in rows), default=0)
        if not n_columns:
            return
        colours = self._sheet.colours
        form = table_format()
        form.setCellPadding(6)
        form.setBorder(1)
        form.setBorderCollapse(True)
        form.setBorderBrush(QBrush(QColor(colours.line)))
        form.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
        form.setHeaderRowCount(1)
        form.setTopMargin(4)
        form.setBottomMargin(8)
        table = self._sheet.table(len(rows), n_columns, form)
        for y, row in enumerate(rows):
            for x, (token, style) in enumerate(row):
                cell = table.cellAt(y, x)
                letters = self._sheet.letters()
                if y == 0:
                    letters.setFontWeight(QFont.Weight.DemiBold)
                    ground = QTextTableCellFormat(cell.format().toTableCellFormat())
                    ground.setBackground(QBrush(QColor(colours.code)))
                    cell.setFormat(ground)
                cursor = cell.firstCursorPosition()
                block = QTextBlockFormat()
                block.setAlignment(alignment(style))
                cursor.setBlockFormat(block)
                write_words(cursor, token.children or [], letters, colours)


class _Rows:
    """The cells of a table, collected until it ends, and the alignment of the next one."""

    def __init__(self) -> None:
        self.rows: list[list[tuple[Token, str]]] = []
        self.style = ""

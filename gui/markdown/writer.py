"""Pieces of Markdown, drawn at the end of a ``QTextDocument``.

``settle`` draws a piece for good; ``draft`` draws the open one, which the next call takes away
again.  Whatever way the text arrived, the document is the same in the end.

Nothing is fetched: a picture becomes a link to it.
"""

from __future__ import annotations

from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from PySide6.QtCore import Qt
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontDatabase,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
    QTextFrameFormat,
    QTextLength,
    QTextList,
    QTextListFormat,
    QTextTable,
    QTextTableCell,
    QTextTableCellFormat,
    QTextTableFormat,
)

from gui.markdown.highlight import words
from gui.markdown.pieces import Piece
from gui.theme import Colours

#: Links of our own: copy the code block with this number.
COPY = "corral-copy:"
#: A code block is drawn in parts of so many pieces: Qt lays a changed cell out as a whole.
_PIECES_A_TABLE = 4
_BREAK = "\u2028"  # a new line in the same block
_SIZES = {"h1": 1.45, "h2": 1.25, "h3": 1.12}


@cache
def _parser() -> MarkdownIt:
    # Nested deeper than this, text is shown as it is; a stranger's text may not exhaust the stack.
    return MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20}).enable(
        ["table", "strikethrough"]
    )


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
        self._drop_draft()
        if piece.is_code:
            self._write_code(piece)
        else:
            self._write_text(piece.text)

    def draft(self, piece: Piece | None) -> None:
        """Draw ``piece`` until the next call."""
        self._drop_draft()
        if piece is None:
            return
        self._cursor.movePosition(QTextCursor.MoveOperation.End)
        self._draft = _Mark(self._cursor, self._is_free, len(self.codes))
        self._draft.code = self._code.copy() if self._code else None
        if piece.is_code:
            if self._code is not None:
                self._draft.in_cell = self._code.end()
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
        _Text(self, _parser().parse(text)).write()

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
            self._code = None

    def settle_code(self, text: str, language: str) -> None:
        """Draw a whole code block that stands inside another block."""
        open_block, self._code = self._code, None
        self._write_code(Piece(text.removesuffix("\n"), True, language))
        self._code = open_block

    def _code_table(self, language: str, has_head: bool) -> QTextTable:
        form = _table_format()
        form.setBackground(QBrush(QColor(self._colours.code)))
        form.setBorder(0)
        form.setCellPadding(8)
        form.setTopMargin(4 if has_head else 0)
        form.setBottomMargin(0)
        table = self.table(2 if has_head else 1, 1, form)
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


@cache
def mono_families() -> list[str]:
    """Return the families for code, the system's own first."""
    return [QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont).family(), "monospace"]


def _table_format() -> QTextTableFormat:
    form = QTextTableFormat()
    form.setWidth(QTextLength(QTextLength.Type.PercentageLength, 100))
    form.setCellSpacing(0)
    form.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_None)
    return form


class _Text:
    """Draws the tokens of one piece."""

    def __init__(self, writer: Writer, tokens: list[Token]) -> None:
        self._writer = writer
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
            self._begin(self._writer.letters())

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
        self._writer.block(form, self._writer.letters())

    def _on_fence(self, token: Token) -> None:
        # Fences of their own are pieces of their own; this one stands in a list or a quotation.
        words_of = token.info.split()
        self._is_item = False
        self._writer.settle_code(token.content, words_of[0] if words_of else "")

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
        letters = self._writer.heading(self._tag) if self._tag else self._writer.letters()
        if self._n_quotes:
            letters.setForeground(QColor(self._writer.colours.muted))
        _inline(self._begin(letters), token.children or [], letters, self._writer.colours)

    def _begin(self, letters: QTextCharFormat) -> QTextCursor:
        form = QTextBlockFormat()
        form.setLineHeight(135, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        form.setTopMargin(10 if self._tag else 2)
        form.setBottomMargin(2 if self._lists else 6)
        form.setLeftMargin(20 * self._n_quotes)
        if self._tag:
            form.setHeadingLevel(int(self._tag[1:]))
        if self._lists and not self._is_item:
            form.setIndent(len(self._lists))
        cursor = self._writer.block(form, letters)
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
        colours = self._writer.colours
        form = _table_format()
        form.setCellPadding(6)
        form.setBorder(1)
        form.setBorderCollapse(True)
        form.setBorderBrush(QBrush(QColor(colours.line)))
        form.setBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
        form.setHeaderRowCount(1)
        form.setTopMargin(4)
        form.setBottomMargin(8)
        table = self._writer.table(len(rows), n_columns, form)
        for y, row in enumerate(rows):
            for x, (token, style) in enumerate(row):
                cell = table.cellAt(y, x)
                letters = self._writer.letters()
                if y == 0:
                    letters.setFontWeight(QFont.Weight.DemiBold)
                    ground = QTextTableCellFormat(cell.format().toTableCellFormat())
                    ground.setBackground(QBrush(QColor(colours.code)))
                    cell.setFormat(ground)
                cursor = cell.firstCursorPosition()
                block = QTextBlockFormat()
                block.setAlignment(_alignment(style))
                cursor.setBlockFormat(block)
                _inline(cursor, token.children or [], letters, colours)


class _Rows:
    """The cells of a table, collected until it ends, and the alignment of the next one."""

    def __init__(self) -> None:
        self.rows: list[list[tuple[Token, str]]] = []
        self.style = ""


def _alignment(style: str) -> Qt.AlignmentFlag:
    if "right" in style:
        return Qt.AlignmentFlag.AlignRight
    return Qt.AlignmentFlag.AlignHCenter if "center" in style else Qt.AlignmentFlag.AlignLeft


def _inline(
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

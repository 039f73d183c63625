"""Rows of dataclasses as a Qt table."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, strategies as st
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester

from gui.models.table import ROW_ROLE, SORT_ROLE, Column, Sorted, Table
from gui.words import WORDS


@dataclass(frozen=True)
class Row:
    key: int
    text: str


def table(texts=None):
    def text(row):
        if texts is not None:
            texts.append(row.key)
        return row.text

    columns = (
        Column("Size", lambda row: str(row.key), lambda row: row.key, True),
        Column("Name", text, tip=lambda row: f"tip {row.text}"),
    )
    return Table[Row](columns, key=lambda row: row.key)


rows = st.lists(
    st.builds(Row, st.integers(0, 9), st.sampled_from("abc")), unique_by=lambda r: r.key
)


@given(steps=st.lists(rows, max_size=6))
def test_a_table_shows_what_it_was_last_given(steps):
    """Qt's own watcher over models fails the test when a change is told wrongly."""
    made = table()
    watcher = QAbstractItemModelTester(made, QAbstractItemModelTester.FailureReportingMode.Warning)
    ordered = Sorted(made)
    ordered.sort(0)
    for wanted in steps:
        made.set_rows(wanted)
        assert sorted(made.rows, key=lambda r: r.key) == sorted(wanted, key=lambda r: r.key)
        shown = [ordered.index(at, 0).data() for at in range(ordered.rowCount())]
        assert shown == [str(row.key) for row in sorted(wanted, key=lambda r: r.key)]
    watcher.deleteLater()


def test_a_cell_has_its_text_its_order_its_side_and_its_row(application):
    made = table()
    made.set_rows([Row(5, "five")])
    number, name = made.index(0, 0), made.index(0, 1)
    assert (number.data(), name.data()) == ("5", "five")
    assert number.data(SORT_ROLE) == 5
    assert number.data(ROW_ROLE) == Row(5, "five")
    assert name.data(Qt.ItemDataRole.ToolTipRole) == "tip five"
    assert number.data(Qt.ItemDataRole.TextAlignmentRole) & int(Qt.AlignmentFlag.AlignRight)
    assert name.data(Qt.ItemDataRole.TextAlignmentRole) & int(Qt.AlignmentFlag.AlignLeft)


def test_a_row_that_changes_stays_where_it_is(application):
    made = table()
    made.set_rows([Row(1, "a"), Row(2, "b"), Row(3, "c")])
    changed = []
    made.dataChanged.connect(lambda first, last, _=None: changed.append(first.row()))
    made.set_rows([Row(3, "c"), Row(2, "new"), Row(1, "a")])
    assert [row.text for row in made.rows] == ["a", "new", "c"]
    assert changed == [1]


def test_no_cell_is_made_before_a_view_asks_for_it(application):
    texts = []
    made = table(texts)
    made.set_rows([Row(key, str(key)) for key in range(10_000)])
    assert texts == []
    assert made.index(9_999, 1).data() == "9999"
    assert texts == [9_999]


def test_a_search_keeps_rows_that_have_all_words_in_any_cell(application):
    made = table()
    made.set_rows([Row(1, "alpha beta"), Row(2, "beta"), Row(13, "alpha")])
    ordered = Sorted(made)
    ordered.search("BETA alp")
    assert [ordered.row(ordered.index(at, 0)).key for at in range(ordered.rowCount())] == [1]
    ordered.search("alpha 3")
    assert [ordered.row(ordered.index(at, 0)).key for at in range(ordered.rowCount())] == [13]
    ordered.search("")
    assert ordered.rowCount() == 3
    ordered.admits = lambda row: row.key > 1
    ordered.narrow()
    assert ordered.rowCount() == 2


def test_headings_follow_the_language(application):
    made = table()
    told = []
    made.headerDataChanged.connect(lambda *_: told.append(True))
    try:
        WORDS.use("zh")
        assert made.headerData(1, Qt.Orientation.Horizontal) == "名称"
        assert told
    finally:
        WORDS.use("en")
    assert made.headerData(1, Qt.Orientation.Horizontal) == "Name"

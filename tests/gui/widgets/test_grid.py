"""Tables in narrow and wide windows: what has no room is left out whole."""

from __future__ import annotations

import pytest

from gui.models.table import Column, Sorted, Table
from gui.theme import THEME
from gui.widgets.grid import Grid


@pytest.fixture
def grid(application):
    THEME.apply("light")
    columns = [Column(f"C{n}", lambda row, n=n: f"{row}.{n}") for n in range(4)]
    made = Grid(Sorted(Table(columns, key=lambda row: row)), widths=(200, 100, 100, 100))
    made.sorted.sourceModel().set_rows(["a", "b"])
    made.show()
    yield made
    made.close()
    THEME.apply("light")


def shown(grid, width):
    """Which columns are in sight at a width of the rows' room, in pixels."""
    grid.resize(width + grid.width() - grid.viewport().width(), 300)
    return [at for at in range(4) if not grid.isColumnHidden(at)]


def test_the_last_columns_go_first_and_come_back(grid):
    assert shown(grid, 700) == [0, 1, 2, 3]
    assert shown(grid, 400) == [0, 1, 2]
    assert shown(grid, 250) == [0, 1]
    assert shown(grid, 150) == [0]
    assert shown(grid, 700) == [0, 1, 2, 3]


@pytest.mark.parametrize("width", [150, 250, 400, 700])
def test_nothing_is_cut_and_the_first_column_has_what_is_left(grid, width):
    columns = shown(grid, width)
    room = grid.viewport().width()  # of which the head's frame has a pixel or two
    assert room - 4 <= sum(grid.columnWidth(at) for at in columns) <= room
    assert all(grid.columnWidth(at) == 100 for at in columns[1:])


def test_larger_type_has_wider_columns(grid):
    assert shown(grid, 500) == [0, 1, 2, 3]
    THEME.apply("light", font_px=28)
    assert grid.columnWidth(1) == 200
    assert shown(grid, 500) == [0, 1]
    THEME.apply("light")
    assert shown(grid, 500) == [0, 1, 2, 3]
    assert grid.columnWidth(1) == 100


def test_a_column_that_somebody_made_wider_stays_so(grid):
    shown(grid, 700)
    grid.setColumnWidth(1, 160)
    assert shown(grid, 250) == [0]
    assert shown(grid, 700) == [0, 1, 2, 3]
    assert grid.columnWidth(1) == 160

"""Lines of widgets: in their order, none over another, none cut where there is room for it."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from PySide6.QtCore import QRect
from PySide6.QtWidgets import QWidget

from gui.widgets.flow import FlowRow


@pytest.fixture(scope="module")
def row(application):
    made = FlowRow(spacing=7)
    yield made
    made.deleteLater()


def fill(row, sizes):
    while (item := row.flow.takeAt(0)) is not None:
        item.widget().deleteLater()
    for width, height in sizes:
        widget = QWidget()
        widget.setFixedSize(width, height)
        row.flow.addWidget(widget)
    return [row.flow.itemAt(place).widget() for place in range(row.flow.count())]


@given(
    sizes=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 40)), max_size=12),
    width=st.integers(90, 400),
)
def test_no_widget_is_cut_or_lies_over_another(row, sizes, width):
    widgets = fill(row, sizes)
    height = row.flow.heightForWidth(width)
    row.flow.setGeometry(QRect(0, 0, width, height))
    places = [widget.geometry() for widget in widgets]
    assert [(place.width(), place.height()) for place in places] == sizes
    area = QRect(0, 0, width, height)
    assert all(area.contains(place) for place in places)
    for at, place in enumerate(places):
        assert not any(place.intersects(other) for other in places[:at])
        if at:
            before = places[at - 1]
            assert place.x() > before.right() or place.y() > before.bottom()


def test_what_is_hidden_takes_no_place(row):
    first, second = fill(row, [(50, 20), (50, 20)])
    first.hide()
    row.flow.setGeometry(QRect(0, 0, 200, 20))
    assert second.x() == 0 and row.flow.sizeHint().width() == 50
    assert row.flow.itemAt(2) is None and row.flow.takeAt(2) is None

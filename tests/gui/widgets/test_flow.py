"""Widgets that do not fit beside each other stand in lines, and none is cut."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st
from PySide6.QtCore import QRect
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui.widgets.flow import Flow


class Box(QWidget):
    def __init__(self, width, is_shown):
        super().__init__()
        self.setFixedSize(width, 20)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.is_shown = is_shown


@settings(max_examples=60, deadline=None)
@given(
    boxes=st.lists(st.tuples(st.integers(5, 120), st.booleans()), min_size=1, max_size=9),
    room=st.integers(120, 400),
)
def test_all_that_is_shown_is_inside_and_apart(application, boxes, room):
    outer = QWidget()
    flow = Flow(outer, spacing=7)
    made = [Box(width, is_shown) for width, is_shown in boxes]
    for box in made:
        flow.addWidget(box)
        box.setVisible(box.is_shown)
    height = flow.heightForWidth(room)
    flow.setGeometry(QRect(3, 4, room, height))
    shown = [box.geometry() for box in made if box.is_shown]
    for number, one in enumerate(shown):
        assert QRect(3, 4, room, height).contains(one)
        assert not any(one.intersects(other) for other in shown[number + 1 :])
        assert one.width() == [box for box in made if box.is_shown][number].width()
    tops = [one.top() for one in shown]
    assert tops == sorted(tops)
    assert flow.minimumSize().width() == max((one.width() for one in shown), default=0)
    outer.deleteLater()


def test_a_row_that_fits_is_one_line(application):
    outer = QWidget()
    flow = Flow(outer)
    for _ in range(3):
        flow.addWidget(Box(50, True))
    assert flow.heightForWidth(flow.sizeHint().width()) == 20
    assert flow.heightForWidth(flow.sizeHint().width() - 1) > 20
    assert flow.count() == 3
    assert flow.itemAt(3) is None
    assert flow.takeAt(0).widget().width() == 50
    outer.deleteLater()

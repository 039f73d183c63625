"""Words found in an open chat."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from gui.chats.conversation import Conversation
from gui.chats.storage import Chat
from gui.chats.tree import Turn
from gui.theme import THEME
from gui.widgets.find_bar import FindBar, places_of
from gui.widgets.transcript import Transcript

TEXTS = [
    "Where is the **Needle**?",
    "\n\n".join(f"Straw {n}." for n in range(60)) + "\n\nA needle, and another needle.",
    *("No more of it." for _ in range(40)),
]


@pytest.fixture
def seen(link, until):
    THEME.apply("light")
    turns = [
        Turn(n, n - 1, "user" if n % 2 else "assistant", text) for n, text in enumerate(TEXTS, 1)
    ]
    made = Transcript(lambda: ["m"])
    made.resize(700, 500)
    made.show()
    made.show_conversation(Conversation(Chat(1, model="m"), turns, link=link, archive=None))
    until(lambda: made.is_settled)
    yield made
    made.close()
    made.deleteLater()


@pytest.fixture
def bar(seen):
    made = FindBar(seen)
    made.begin()
    yield made
    made.close()
    made.deleteLater()


def is_in_sight(seen, turn_id, number):
    """Whether a marked place lies within the window."""
    view = seen.views.get(turn_id)
    if view is None or not seen.is_settled or not view.body.extraSelections():
        return False
    below = seen._slots[turn_id].y() + view.body.y() + view.body.place_of(number)
    return 0 <= below - seen.verticalScrollBar().value() < seen.viewport().height()


def test_every_place_is_walked_through_and_the_first_follows_the_last(seen, bar, until):
    QTest.keyClicks(bar.field, "needle")
    bar.look()
    until(lambda: is_in_sight(seen, 1, 0))
    assert bar.count.text() == "1 of 3"
    QTest.keyClick(bar.field, Qt.Key.Key_Return)
    until(lambda: is_in_sight(seen, 2, 0))
    QTest.keyClick(bar.field, Qt.Key.Key_Return)
    until(lambda: is_in_sight(seen, 2, 1))
    assert bar.count.text() == "3 of 3"
    QTest.keyClick(bar.field, Qt.Key.Key_Return)
    until(lambda: is_in_sight(seen, 1, 0))
    QTest.keyClick(bar.field, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    until(lambda: is_in_sight(seen, 2, 1))


def test_what_is_not_there_is_said_and_marks_go_with_the_bar(seen, bar, until):
    QTest.keyClicks(bar.field, "camel")
    bar.look()
    assert bar.count.text() == "Nothing found"
    bar.field.setText("NEEDLE")
    bar.look()
    until(lambda: is_in_sight(seen, 1, 0))
    bar.end()
    assert not any(view.body.extraSelections() for view in seen.views.values())
    assert bar.isHidden()


@given(st.lists(st.text("aAb ", max_size=12), max_size=6), st.text("aAb", max_size=2))
def test_places_are_counted_in_each_turn_whatever_the_letters_case(texts, words):
    turns = [Turn(n, n - 1, "user", text) for n, text in enumerate(texts, 1)]
    found = places_of(turns, words)
    n_all = sum(text.lower().count(words.lower()) for text in texts) if words else 0
    assert len(found) == n_all == len(set(found))
    assert places_of(turns, words.upper()) == found

"""The turns of a chat: only those near sight are there, and what one reads stays in its place."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, strategies as st
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPlainTextEdit

from gui.chats.conversation import Conversation
from gui.chats.storage import Chat
from gui.chats.tree import Turn
from gui.theme import THEME
from gui.widgets.transcript import Transcript
from gui.widgets.turn_slot import guess_height

N_TURNS = 80
LONG = (
    "A line of it, long enough to be broken.\n\n```python\nx = 1\n```\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n"
)


@pytest.fixture
def talk(link):
    turns = [
        Turn(
            n, n - 1, "user" if n % 2 else "assistant", f"turn {n}" if n % 2 else LONG * (n % 7 + 1)
        )
        for n in range(1, N_TURNS + 1)
    ]
    return Conversation(Chat(1, model="m"), turns, link=link, archive=None)


@pytest.fixture
def seen(talk, until):
    THEME.apply("light")
    made = Transcript(lambda: ["m"])
    made.resize(700, 500)
    made.show()
    made.setFocus()  # as in the app, where no turn has it by itself
    made.show_conversation(talk)
    until(lambda: made.is_settled and at_end(made))
    yield made
    made.close()
    made.deleteLater()


def at_end(seen):
    bar = seen.verticalScrollBar()
    return bar.maximum() > 0 and bar.value() == bar.maximum()


def place(seen, turn_id):
    """Pixels from the upper edge of the window down to a turn."""
    return seen._slots[turn_id].y() - seen.verticalScrollBar().value()


def test_a_long_chat_is_scrolled_through_with_few_views(seen, until):
    bar, most, met = seen.verticalScrollBar(), 0, set()
    while bar.value() > 0:
        bar.setValue(bar.value() - 250)
        until(lambda: seen.is_settled)
        most = max(most, len(seen.views))
        met |= set(seen.views)
    assert met == set(range(1, N_TURNS + 1))
    assert most < N_TURNS / 2
    assert 1 in seen.views and N_TURNS not in seen.views


def test_what_one_reads_stays_where_it_is_while_turns_above_are_drawn(seen, until):
    bar = seen.verticalScrollBar()
    while bar.value() > 0:
        bar.setValue(bar.value() - 180)
        until(partial(stays, seen, *seen._anchor))


def stays(seen, turn_id, was):
    """Whether all is drawn, and a turn is where it was."""
    is_at_top = seen.verticalScrollBar().value() == 0
    return seen.is_settled and (is_at_top or abs(place(seen, turn_id) - was) <= 1)


def test_a_turn_far_away_is_brought_into_sight(seen, until):
    assert 20 not in seen.views
    seen.show_turn(20)
    until(lambda: seen.is_settled and place(seen, 20) == 0)
    assert seen.views[20].body.toPlainText()


def test_the_last_question_is_edited_from_far_above(seen, until):
    seen.show_turn(1)
    until(lambda: seen.is_settled and N_TURNS - 1 not in seen.views)
    seen.edit_last()
    until(lambda: seen.is_settled and place(seen, N_TURNS - 1) < seen.viewport().height())
    view = seen.views[N_TURNS - 1]
    assert [e.toPlainText() for e in view.findChildren(QPlainTextEdit) if e.accessibleName()] == [
        f"turn {N_TURNS - 1}"
    ]


def test_a_view_that_holds_an_edit_or_a_selection_stays_however_far_one_scrolls(seen, until):
    edited, marked = seen.views[N_TURNS - 1], seen.views[N_TURNS]
    edited.edit()
    marked.body.selectAll()
    seen.show_turn(1)
    until(lambda: seen.is_settled and N_TURNS - 2 not in seen.views)
    assert seen.views[N_TURNS - 1] is edited and seen.views[N_TURNS] is marked


def test_the_keyboard_walks_from_turn_to_turn_beyond_what_was_there(seen, until):
    seen.show_turn(10)
    until(lambda: seen.is_settled)
    seen.activateWindow()
    seen.views[10].body.setFocus()
    at_first, met = set(seen.views), set()
    for _ in range(70):
        QTest.keyClick(seen.focusWidget(), Qt.Key.Key_Tab)
        until(lambda: seen.is_settled)
        met |= {key for key, view in seen.views.items() if view.isAncestorOf(seen.focusWidget())}
    assert met == set(range(10, max(met) + 1))
    assert max(met) not in at_first


@given(st.text(), st.integers(10, 32))
def test_a_guess_is_a_height_and_more_text_is_not_less_tall(text, font_px):
    assert 0 < guess_height(text, font_px) <= guess_height(text + "\nmore", font_px)

"""The list of chats, through ``data()``."""

from __future__ import annotations

from datetime import datetime, timedelta

from gui.chats.storage import Chat, Hit
from gui.models.chat_list import DETAIL_ROLE, ID_ROLE, PINNED_ROLE, TURN_ROLE, ChatList, when


def rows(model, role):
    return [model.index(i).data(role) for i in range(model.rowCount())]


def test_chats_show_in_the_order_given(application):
    model = ChatList()
    model.set_chats([Chat(7, title="Seven", is_pinned=True), Chat(2**52, model="m")])
    assert rows(model, ID_ROLE) == [7, 2**52]
    assert [model.index(i).data() for i in range(2)] == ["Seven", "New chat"]
    assert rows(model, PINNED_ROLE) == [True, False]
    assert (model.row_of(2**52), model.row_of(1)) == (1, -1)


def test_a_search_shows_hits_and_then_all_again(application):
    model = ChatList()
    model.set_chats([Chat(1, title="One"), Chat(2, title="Two")])
    model.set_hits([Hit(2, 5, "so \x02much\x03\nmore"), Hit(9, 1, "gone")])
    assert rows(model, DETAIL_ROLE) == ["so much more"]
    assert rows(model, TURN_ROLE) == [5]
    model.set_hits(None)
    assert rows(model, ID_ROLE) == [1, 2]


def test_a_row_that_is_not_there_has_nothing(application):
    model = ChatList()
    assert model.data(model.index(3)) is None
    assert model.rowCount(model.index(0)) == 0


def test_ten_thousand_chats_are_looked_at_one_by_one(application):
    model = ChatList()
    model.set_chats([Chat(n, title=str(n)) for n in range(1, 10_001)])
    assert model.rowCount() == 10_000
    assert model.index(9_999).data() == "10000"


def test_moments_are_as_a_person_says_them():
    now = datetime(2026, 3, 10, 15, 0)

    def said(**back):
        return when((now - timedelta(**back)).timestamp(), now.timestamp())

    assert said(hours=1) == "14:00"
    assert said(hours=20) == "Yesterday"
    assert said(days=3) == "3 days ago"
    assert said(days=30) == "2026-02-08"

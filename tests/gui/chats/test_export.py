"""Chats as files."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, strategies as st

from gui.chats.export import Exported, from_text, to_json, to_markdown
from gui.chats.storage import Chat
from gui.chats.tree import Turn
from runner.errors import InvalidRequest

texts = st.text(st.characters(blacklist_categories=("Cs",)), max_size=60)


@st.composite
def chats(draw, *, branches=True):
    turns: list[Turn] = []
    for number in range(1, draw(st.integers(1, 6))):
        parent = draw(st.integers(0, number - 1)) if branches else number - 1
        role = draw(st.sampled_from(["user", "assistant"]))
        images = tuple(draw(st.lists(st.binary(max_size=9), max_size=2))) if branches else ()
        turns.append(Turn(number, parent, role, draw(texts), model=draw(texts), images=images))
    title = draw(texts.filter(bool))
    chat = Chat(title=title, model=draw(texts), system=draw(texts), options={"top_k": 3})
    return Exported(chat, turns)


@given(chat=chats())
def test_json_comes_back_whole(chat):
    again = from_text(to_json(chat), "name")
    assert (again.chat, list(again.turns)) == (chat.chat, chat.turns)


@given(chat=chats(branches=False))
@example(chat=Exported(Chat(title="t"), [Turn(1, 0, "user", "\n")]))
@example(chat=Exported(Chat(title="t"), [Turn(1, 0, "assistant", "a", model="b\n\nc")]))
def test_what_is_in_sight_comes_back_from_markdown(chat):
    again = from_text(to_markdown(chat), "name")
    assert [(t.role, t.text, t.model) for t in again.turns] == [
        (t.role, t.text, t.model) for t in chat.turns
    ]
    assert (again.chat.title, again.chat.system) == (chat.chat.title, chat.chat.system)


@given(
    text=st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)
)
def test_anything_else_is_refused_in_words(text):
    with pytest.raises(InvalidRequest, match="not a chat"):
        from_text(text, "name")


def test_lists_of_messages_are_taken_in():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hello"},
    ]
    for value in (messages, {"messages": messages}):
        found = from_text(json.dumps(value), "from elsewhere")
        assert (found.chat.title, found.chat.system) == ("from elsewhere", "Be brief.")
        assert [turn.text for turn in found.turns] == ["Hi", "Hello"]


@pytest.mark.parametrize(
    ("turn", "why"),
    [
        ({"id": 1}, "lacks a field"),
        ({"id": 1, "parent_id": 5, "role": "user", "text": ""}, "does not follow"),
        ({"id": 1, "parent_id": 0, "role": "user", "text": 5}, "wrong type"),
        ({"id": 1, "parent_id": 0, "role": "user", "text": "", "images": 5}, "images is not a"),
        ({"id": 1, "parent_id": 0, "role": "user", "text": "", "images": ["?"]}, "base64"),
        ({"id": 1, "parent_id": 0, "role": "judge", "text": ""}, "no known role"),
        ({"id": 0, "parent_id": 0, "role": "user", "text": ""}, "no id"),
    ],
)
def test_a_damaged_turn_is_named(turn, why):
    text = json.dumps({"kind": "corral-chat", "format": 1, "turns": [turn]})
    with pytest.raises(InvalidRequest, match=why):
        from_text(text, "name")


def test_a_newer_format_is_refused():
    with pytest.raises(InvalidRequest, match="format 2"):
        from_text(json.dumps({"kind": "corral-chat", "format": 2, "turns": []}), "name")

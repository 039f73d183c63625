"""Branches of a conversation."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, strategies as st

from gui.chats.tree import Tree, Turn


def turn(number, parent, text=""):
    return Turn(number, parent, "user" if number % 2 else "assistant", text)


def test_the_newest_branch_is_in_sight():
    tree = Tree([turn(1, 0), turn(2, 1), turn(3, 1)])
    assert [t.id for t in tree.path()] == [1, 3]
    assert tree.branch(3) == (2, 2)


def test_a_step_shows_another_version_to_its_end():
    tree = Tree([turn(1, 0), turn(2, 1), turn(3, 2), turn(4, 1)])
    assert tree.step(4, -1)
    assert [t.id for t in tree.path()] == [1, 2, 3]
    assert not tree.step(2, -1)
    assert [t.id for t in tree.path()] == [1, 2, 3]


def test_a_turn_is_replaced_in_its_place():
    tree = Tree([turn(1, 0), turn(2, 1)])
    tree.put(replace(tree[2], text="more"))
    assert [t.text for t in tree.path()] == ["", "more"]
    assert len(tree) == 2


def test_an_empty_chat_has_no_turn():
    assert Tree().path() == []
    assert Tree().next_id() == 1


@given(st.lists(st.integers(0, 30), max_size=30))
def test_every_turn_can_be_brought_into_sight(parents):
    turns = [turn(i, min(parent, i - 1)) for i, parent in enumerate(parents, 1)]
    tree = Tree(turns)
    for wanted in turns:
        for ancestor in tree.path_to(wanted.id):
            place, _ = tree.branch(ancestor.id)
            shown = next(t for t in tree.path() if t.parent_id == ancestor.parent_id)
            tree.step(shown.id, place - tree.branch(shown.id)[0])
        assert wanted in tree.path()

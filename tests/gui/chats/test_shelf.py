"""All chats: opened, found, deleted and brought back, written to files and taken in."""

from __future__ import annotations

import pytest

from gui.chats.shelf import Shelf
from gui.chats.storage import Storage
from tests.gui.scripted import MODEL


@pytest.fixture
def shelf(link, archive):
    made = Shelf(link, archive)
    yield made
    made.close()


@pytest.fixture
def opened(shelf):
    told = []
    shelf.opened.connect(told.append)
    return told


def begin(shelf, until, text):
    talk = shelf.new(MODEL)
    talk.send(text)
    until(lambda: not talk.answering_id)
    return talk


def test_a_chat_is_listed_once_something_was_said(shelf, until):
    shelf.new(MODEL)
    assert shelf.chats() == []
    begin(shelf, until, "First")
    begin(shelf, until, "Second")
    assert [chat.title for chat in shelf.chats()] == ["Second", "First"]


def test_what_was_typed_into_a_new_chat_is_found_again_in_the_list(shelf, until):
    talk, seen = shelf.new(MODEL), []
    shelf.listed.connect(seen.append)
    talk.set_draft("Half a thought")
    until(lambda: seen)
    shelf.new(MODEL)
    assert [(chat.id, chat.draft) for chat in shelf.chats()] == [(talk.chat.id, "Half a thought")]


def test_a_chat_opens_again_as_it_was(shelf, opened, until):
    talk = begin(shelf, until, "First")
    turns, chat_id = talk.tree.turns(), talk.chat.id
    begin(shelf, until, "Second")
    shelf.open(chat_id)
    until(lambda: opened[-1].chat.id == chat_id)
    assert opened[-1].tree.turns() == turns


def test_the_list_comes_from_disk_and_pins_stay(shelf, until, link, archive):
    first = begin(shelf, until, "First").chat.id
    begin(shelf, until, "Second")
    shelf.change(first, is_pinned=True, title="Mine")
    again = Shelf(link, archive)
    until(lambda: len(again.chats()) == 2)
    assert [chat.title for chat in again.chats()] == ["Mine", "Second"]
    again.close()


def test_a_deleted_chat_can_be_brought_back(shelf, opened, until, archive):
    talk = begin(shelf, until, "First")
    shelf.delete(talk.chat.id)
    assert shelf.chats() == []
    shelf.undo()
    assert [chat.title for chat in shelf.chats()] == ["First"]
    shelf.delete(talk.chat.id)
    shelf.close()
    kept = []
    archive.do(Storage.chats, kept.append)
    until(lambda: kept)
    assert kept == [[]]


def test_a_search_finds_turns_but_not_of_deleted_chats(shelf, until):
    talk = begin(shelf, until, "Refrigerators")
    found = []
    shelf.found.connect(lambda text, hits: found.append([hit.chat_id for hit in hits]))
    shelf.search("refrig")
    until(lambda: found)
    shelf.delete(talk.chat.id)
    shelf.search("refrig")
    until(lambda: len(found) == 2)
    assert found == [[talk.chat.id], []]


@pytest.mark.parametrize("ending", ["json", "md"])
def test_a_chat_goes_to_a_file_and_comes_back(shelf, opened, until, tmp_path, ending):
    talk = begin(shelf, until, "First")
    path = tmp_path / f"chat.{ending}"
    shelf.export(talk, path)
    until(lambda: path.exists() and path.stat().st_size)
    shelf.import_file(path)
    until(lambda: opened[-1].chat.id != talk.chat.id)
    assert opened[-1].chat.title == "First"
    texts = [turn.text for turn in opened[-1].tree.path()]
    assert texts == [turn.text for turn in talk.tree.path()]


def test_a_file_that_is_no_chat_is_told(shelf, until, tmp_path):
    told = []
    shelf.failed.connect(told.append)
    (tmp_path / "x.json").write_text("{}")
    for path in (tmp_path / "x.json", tmp_path / "missing.json"):
        shelf.import_file(path)
    until(lambda: len(told) == 2)
    assert {error.code for error in told} == {"invalid_request", "store_failed"}


def test_a_chat_that_answers_stays_when_another_is_opened(shelf, opened, until, daemon):
    talk = shelf.new(MODEL)
    talk.send("First")
    assert talk.answering_id
    shelf.new(MODEL)
    shelf.open(talk.chat.id)
    assert opened[-1] is talk
    until(lambda: not talk.answering_id)

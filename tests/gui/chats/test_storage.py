"""Chats on disk."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gui.chats.files import TextFile
from gui.chats.pictures import Picture
from gui.chats.storage import _TABLES, FORMAT, Chat, Storage
from gui.chats.tree import Turn
from gui.chats.unsent import Unsent
from runner.errors import StoreError

pytestmark = pytest.mark.blocking


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app" / "chats.sqlite"


@pytest.fixture
def storage(path):
    found = Storage(path)
    yield found
    found.close()


def turn(number, text, **fields):
    return Turn(number, number - 1, "user", text, created_s=float(number), **fields)


def test_a_chat_comes_back_as_it_was(storage, path):
    chat = storage.save_chat(Chat(title="T", model="m", system="s", options={"seed": 1}, draft="d"))
    first = turn(1, "Hi", figures={"n": 3}, thinking="hm", model="m", is_whole=False)
    storage.save_turn(chat.id, first)
    again = Storage(path)
    assert again.chats() == [chat]
    assert again.turns(chat.id) == [first]
    again.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_last_changed_comes_first_and_pinned_ones_before(storage):
    old = storage.save_chat(Chat(title="old", changed_s=1.0))
    new = storage.save_chat(Chat(title="new", changed_s=2.0))
    assert [chat.title for chat in storage.chats()] == ["new", "old"]
    storage.save_chat(replace(old, is_pinned=True))
    assert [chat.title for chat in storage.chats()] == ["old", "new"]
    storage.delete_chat(new.id)
    assert [chat.title for chat in storage.chats()] == ["old"]


def test_a_turn_that_grows_is_kept_once(storage):
    chat = storage.save_chat(Chat())
    for text in ("a", "ab", "abc"):
        storage.save_turn(chat.id, turn(1, text))
    assert [t.text for t in storage.turns(chat.id)] == ["abc"]
    assert len(storage.search("abc")) == 1


def test_a_search_finds_all_words_and_beginnings(storage):
    chat = storage.save_chat(Chat())
    storage.save_turn(chat.id, turn(1, "The quick brown fox"))
    storage.save_turn(chat.id, turn(2, 'He said "quick" and left'))
    assert {hit.turn_id for hit in storage.search("quick")} == {1, 2}
    assert {hit.turn_id for hit in storage.search("brown qui")} == {1}
    assert storage.search("   ") == []
    for odd in ('"', "fox OR", "a*b", "(", "NEAR(a b)", "-x"):
        storage.search(odd)
    storage.delete_chat(chat.id)
    assert storage.search("quick") == []


def test_a_search_finds_words_of_a_writing_without_spaces(storage):
    chat = storage.save_chat(Chat())
    storage.save_turn(chat.id, turn(1, "今天天气很好。我们去公园。"))
    [hit] = storage.search("天气")
    assert hit.snippet.replace("\x02", "").replace("\x03", "") == "今天天气很好。我们去公园。"
    assert storage.search("气天") == []


def test_what_was_handed_over_outlives_a_kill(path):
    script = (
        "import sys, pathlib\n"
        "from gui.chats.storage import Chat, Storage\n"
        "from gui.chats.tree import Turn\n"
        "storage = Storage(pathlib.Path(sys.argv[1]))\n"
        "chat = storage.save_chat(Chat())\n"
        "number = 0\n"
        "while True:\n"
        "    number += 1\n"
        "    storage.save_turn(chat.id, Turn(number, number - 1, 'user', 'x'))\n"
        "    print(number, flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, path], stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    for _ in range(20):
        line = child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    lines = child.stdout.read().split()
    child.stdout.close()
    n_told = int(lines[-1] if lines else line)
    storage = Storage(path)
    [chat] = storage.chats()
    assert len(storage.turns(chat.id)) >= n_told
    storage.close()


def test_a_newer_or_a_damaged_file_is_refused(path):
    Storage(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {FORMAT + 1}")
    db.close()
    with pytest.raises(StoreError, match=f"format {FORMAT + 1}"):
        Storage(path)
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match="cannot be opened"):
        Storage(path)


def test_an_older_file_is_copied_and_brought_up_to_date(storage, path, monkeypatch):
    storage.save_chat(Chat(title="old"))
    monkeypatch.setattr("gui.chats.storage.FORMAT", FORMAT + 1)
    monkeypatch.setattr(
        "gui.chats.storage._MIGRATIONS", {FORMAT: "ALTER TABLE chats ADD COLUMN mood TEXT"}
    )
    newer = Storage(path)
    assert [chat.title for chat in newer.chats()] == ["old"]
    newer.close()
    copy = sqlite3.connect(path.with_name(f"{path.name}.format{FORMAT}"))
    assert copy.execute("SELECT title FROM chats").fetchall() == [("old",)]
    assert copy.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    copy.close()


def test_a_file_of_the_first_format_keeps_its_chats_and_takes_pictures(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        for statement in _TABLES.split(";"):
            db.execute(statement)
        db.execute("INSERT INTO chats (id, title, created_s, changed_s) VALUES (7, 'old', 1, 1)")
        db.execute("INSERT INTO turns VALUES (7, 1, 0, 'user', 'Hi', '', '', '{}', 1, 1.0)")
        db.execute("PRAGMA user_version = 1")
    db.close()
    storage = Storage(path)
    assert [chat.title for chat in storage.chats()] == ["old"]
    assert [turn.text for turn in storage.turns(7)] == ["Hi"]
    storage.save_turn(7, turn(2, "See", images=(b"one", b"two")))
    assert [found.images for found in storage.turns(7)] == [(), (b"one", b"two")]
    storage.save_edit(7, 1, "Hello")
    assert storage.unsent(7).edits == {1: "Hello"}
    storage.delete_chat(7)
    assert storage.turns(7) == [] and storage.unsent(7) == Unsent()
    storage.close()


def test_what_was_not_sent_comes_back_and_goes_with_its_chat(storage, path):
    chat, other = storage.save_chat(Chat()), storage.save_chat(Chat())
    files = (TextFile("a.txt", "words"), Picture("b.png", b"\x89PNG"), TextFile("none", ""))
    storage.save_edit(chat.id, 3, "typed")
    storage.save_edit(chat.id, 3, "typed on")
    storage.save_edit(chat.id, 5, "another")
    storage.save_files(chat.id, (files[1],))
    storage.save_files(chat.id, files)
    again = Storage(path)
    assert again.unsent(chat.id) == Unsent({3: "typed on", 5: "another"}, files)
    assert again.unsent(other.id) == Unsent()
    again.close()
    storage.save_edit(chat.id, 3, None)
    storage.save_files(chat.id, ())
    assert storage.unsent(chat.id) == Unsent({5: "another"})
    storage.delete_chat(chat.id)
    assert storage.unsent(chat.id) == Unsent()

"""A chat with a scripted daemon: what is sent, what is kept, what becomes of it."""

from __future__ import annotations

import threading

import pytest

from gui.chats.conversation import Conversation, title_of
from gui.chats.files import TextFile
from gui.chats.presets import OURS
from gui.chats.shelf import Shelf
from gui.chats.storage import Chat, Storage
from gui.chats.unsent import Unsent
from gui.models.figures import figures_text
from tests.gui.scripted import MODEL, end, said


@pytest.fixture
def talk(link, archive):
    return Conversation(Chat(7, model=MODEL), [], link=link, archive=archive)


def idle(talk):
    return lambda: not talk.answering_id


def messages(daemon, index=-1):
    return [(m["role"], m["content"]) for m in daemon.asked[index]["messages"]]


def test_an_answer_arrives_with_its_figures_and_is_kept(talk, daemon, until, archive):
    daemon.answer = lambda _: iter([said("Hel"), said("lo"), end(eval_count=3)])
    talk.set_fields(system="Be brief.", options={"top_k": 3})
    talk.send("Hi\nthere")
    until(idle(talk))
    assert [turn.text for turn in talk.tree.path()] == ["Hi\nthere", "Hello"]
    answer = talk.tree.path()[-1]
    assert answer.is_whole and answer.figures["n_generated"] == 3
    assert answer.figures["ttft_s"] >= 0
    assert messages(daemon) == [("system", "Be brief."), ("user", "Hi\nthere")]
    assert daemon.asked[-1]["options"] == {"top_k": 3}
    assert daemon.asked[-1]["priority"] == "interactive"
    kept = []
    archive.do(lambda storage: (storage.chats(), storage.turns(7)), kept.append)
    until(lambda: kept)
    [chats, turns] = kept[0]
    assert (chats[0].title, turns) == ("Hi", talk.tree.turns())


def test_thinking_stands_apart_and_is_not_sent_back(talk, daemon, until):
    lines = [said("", "Is "), said("", "it?"), said("Yes"), end(prompt_eval_cached_count=12)]
    daemon.answer = lambda _: iter(lines)
    talk.send("Hi")
    until(idle(talk))
    answer = talk.tree.path()[-1]
    assert (answer.text, answer.thinking) == ("Yes", "Is it?")
    assert answer.figures["thinking_s"] >= 0
    assert "12 from the cache" in figures_text(answer.figures)
    talk.send("Sure?")
    until(idle(talk))
    assert messages(daemon) == [("user", "Hi"), ("assistant", "Yes"), ("user", "Sure?")]


def test_retrying_and_editing_open_branches(talk, daemon, until):
    talk.send("Hi")
    until(idle(talk))
    first = talk.tree.path()
    talk.retry(first[1].id, "other:latest")
    until(idle(talk))
    assert daemon.asked[-1]["model"] == "other:latest"
    assert talk.tree.branch(talk.tree.leaf_id) == (2, 2)
    talk.edit(first[0].id, "Bye")
    until(idle(talk))
    assert messages(daemon) == [("user", "Bye")]
    talk.step(talk.tree.path()[0].id, -1)
    assert [turn.text for turn in talk.tree.path()] == ["Hi", "Hello"]
    talk.edit(talk.tree.leaf_id, "Mine")
    assert talk.tree.path()[-1].text == "Mine"
    assert len(daemon.asked) == 3


def test_stopping_leaves_the_answer_and_what_has_arrived_stays(talk, daemon, until):
    go = threading.Event()

    def answer(_):
        yield said("Begun")
        while not daemon.left.is_set():
            yield said(".")
            go.wait(0.01)

    daemon.answer = answer
    talk.send("Hi")
    until(lambda: talk.tree.path()[-1].text)
    talk.stop()
    assert not talk.answering_id
    until(daemon.left.is_set)
    turn = talk.tree.path()[-1]
    assert turn.text.startswith("Begun") and not turn.is_whole
    assert turn.figures["reason"] == "stopped"


def test_an_answer_that_was_cut_goes_on_in_its_turn(talk, daemon, until):
    daemon.answer = lambda _: iter([said("One"), end("length")])
    talk.send("Count")
    until(idle(talk))
    daemon.answer = lambda _: iter([said(" two"), end()])
    talk.go_on(talk.tree.leaf_id)
    until(idle(talk))
    assert talk.tree.path()[-1].text == "One two"
    assert [role for role, _ in messages(daemon)] == ["user", "assistant", "user"]


def test_an_error_is_part_of_the_turn_and_the_question_stays(talk, daemon, until):
    daemon.answer = lambda _: iter(
        [said("So"), {"error": "out of memory", "code": "not_enough_memory", "hint": "use less"}]
    )
    talk.send("Hi")
    until(idle(talk))
    turn = talk.tree.path()[-1]
    assert turn.figures["error"]["code"] == "not_enough_memory"
    assert (turn.text, turn.is_whole) == ("So", False)
    daemon.answer = lambda _: iter([said("Hello"), end()])
    talk.retry(turn.id)
    until(idle(talk))
    assert messages(daemon) == [("user", "Hi")]
    assert talk.tree.branch(talk.tree.leaf_id) == (2, 2)  # a part of an answer is kept


def test_an_answer_that_never_came_is_given_in_its_place(talk, daemon, until, archive):
    daemon.answer = lambda _: iter([{"error": "out of memory", "code": "not_enough_memory"}])
    talk.send("Hi")
    until(idle(talk))
    turn = talk.tree.path()[-1]
    for _ in range(2):
        talk.retry(turn.id)
        until(idle(talk))
    daemon.answer = lambda _: iter([said("Hello"), end()])
    talk.retry(turn.id, "other:latest")
    until(idle(talk))
    assert [(one.id, one.text) for one in talk.tree.path()] == [(1, "Hi"), (turn.id, "Hello")]
    answer = talk.tree.path()[-1]
    assert (answer.model, answer.is_whole) == ("other:latest", True)
    assert "error" not in answer.figures
    kept = []
    archive.do(lambda storage: storage.turns(7), kept.append)
    until(lambda: kept)
    assert kept[0] == talk.tree.turns()


@pytest.mark.blocking
def test_a_half_answer_is_on_disk_before_it_ends(talk, daemon, until, tmp_path):
    going = threading.Event()

    def answer(_):
        yield said("Half")
        going.wait(60)
        yield end()

    daemon.answer = answer
    talk.send("Hi")
    other = Storage(tmp_path / "chats.sqlite")
    until(lambda: [t for t in other.turns(7) if t.text == "Half"])
    other.close()
    going.set()
    until(idle(talk))


@pytest.mark.blocking
def test_a_draft_is_kept_and_leaves_with_the_question(talk, until, archive, tmp_path):
    talk.set_draft("Not yet sen")
    talk.keep_now()
    archive.close()
    storage = Storage(tmp_path / "chats.sqlite")
    assert [chat.draft for chat in storage.chats()] == ["Not yet sen"]
    storage.close()


def test_a_draft_is_kept_though_nobody_stops_typing(talk, until, archive):
    typed, kept = [], []

    def goes_on():
        typed.append("x")
        talk.set_draft("".join(typed))
        archive.do(Storage.chats, kept.extend)
        return any(chat.draft for chat in kept)

    until(goes_on)
    assert talk._draft_timer.isActive() or len(typed) > 1


def test_an_edit_is_kept_though_nobody_stops_typing_and_leaves_when_it_is_sent(
    talk, until, archive, daemon
):
    talk.send("Hi")
    until(idle(talk))
    question, typed, kept = talk.tree.path()[0].id, [], []

    def goes_on():
        typed.append("x")
        talk.set_edit(question, "".join(typed))
        archive.do(lambda storage: storage.unsent(7).edits, kept.append)
        return any(kept)

    until(goes_on)
    assert question in next(filter(None, kept))
    talk.set_edit(question, None)
    talk.edit(question, "Bye")
    until(idle(talk))
    left = []
    archive.do(lambda storage: storage.unsent(7), left.append)
    until(lambda: left)
    assert left == [Unsent()] == [talk.unsent]


def test_words_files_and_settings_of_a_chat_without_turns_are_kept(link, until, archive):
    def kept_of(number, change):
        talk = Conversation(Chat(number, model=MODEL), [], link=link, archive=archive)
        change(talk)
        talk.keep_now()
        found = []
        archive.do(lambda storage: [chat.id for chat in storage.chats()], found.append)
        until(lambda: found)
        return number in found[0]

    assert not kept_of(1, lambda talk: talk.set_fields(model="other"))
    assert not kept_of(2, lambda talk: talk.set_fields(options=OURS[1].options))
    assert kept_of(3, lambda talk: talk.set_fields(system="Answer in rhymes."))
    assert kept_of(4, lambda talk: talk.set_fields(options={"seed": 7}))
    assert kept_of(5, lambda talk: talk.set_files([TextFile("a.txt", "words")]))


def test_a_temporary_chat_leaves_nothing_in_the_file_of_the_others(
    application, link, archive, until, tmp_path
):
    shelf = Shelf(link, archive)
    kept = shelf.new(MODEL)
    kept.send("Ordinary words")
    until(idle(kept))
    talk = shelf.new(MODEL, is_temporary=True)
    talk.set_fields(system="Confidential prompt")
    talk.set_draft("Confidential draft")
    talk.set_files([TextFile("a.txt", "Confidential file")])
    talk.send("Confidential question")
    until(idle(talk))
    talk.set_edit(talk.tree.path()[0].id, "Confidential edit")
    talk.keep_now()
    shelf.new(MODEL)
    shelf.close()
    archive.close()
    held = b"".join(path.read_bytes() for path in tmp_path.glob("chats.sqlite*"))
    assert b"Ordinary words" in held and b"Confidential" not in held


def test_a_temporary_chat_leaves_nothing(link, until, tmp_path, application):
    talk = Conversation(Chat(7, model=MODEL), [], link=link, archive=None)
    talk.send("Secret")
    until(idle(talk))
    assert talk.tree.path()[-1].text == "Hello"
    assert not list(tmp_path.rglob("*.sqlite"))


def test_a_title_is_the_first_line_cut_between_words():
    assert title_of("\n  Hi there \nmore") == "Hi there"
    assert title_of("**notes.txt**\n\n```txt\nwords\n```\n\nWhich?") == "notes.txt"
    long = title_of("word " * 30)
    assert len(long) <= 61 and long.endswith("word…")
    assert title_of("字" * 100) == "字" * 60 + "…"

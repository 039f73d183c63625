"""What is typed into a chat and not sent is there again, wherever one has been meanwhile."""

from __future__ import annotations

import threading

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPlainTextEdit, QPushButton

from gui.chats.files import TextFile
from gui.views.main_window import MainWindow
from tests.gui.scripted import end, said
from tests.gui.views.test_chat_page import idle, type_in, view_of


def editor(view):
    """The field that a turn is changed in; ``None``: it is not."""
    fields = [field for field in view.findChildren(QPlainTextEdit) if field.isVisible()]
    return fields[0] if fields else None


def press(view, text):
    [button] = [b for b in view.findChildren(QPushButton) if b.text() == text and b.isVisible()]
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def begin_edit(page, typed):
    QTest.keyClick(page.composer.field, Qt.Key.Key_Up)
    QTest.keyClicks(editor(view_of(page, 0)), typed)


def test_an_edit_waits_while_another_chat_is_looked_at(page, until):
    type_in(page, "Hi")
    until(idle(page))
    first = page._conversation.chat.id
    begin_edit(page, " there")
    page.begin(is_temporary=False)
    page._open(first, 0)
    until(lambda: page._conversation.chat.id == first)
    until(lambda: len(page.transcript.views) == 2)
    assert editor(view_of(page, 0)).toPlainText() == "Hi there"
    press(view_of(page, 0), "Cancel")
    assert editor(view_of(page, 0)) is None and page._conversation.unsent.edits == {}


def test_an_edit_is_there_in_the_next_start(page, link, archive, until, daemon):
    type_in(page, "Hi")
    until(idle(page))
    chat_id = page._conversation.chat.id
    begin_edit(page, " there")
    kept = []

    def is_on_disk():
        archive.do(lambda storage: storage.unsent(chat_id).edits, kept.append)
        return any(kept)

    until(is_on_disk)  # nobody says goodbye: so it is after a crash
    again = MainWindow(link, page.house.settings, archive)
    again.show()
    other = again.page("chat")
    until(lambda: other._models and other.shelf.chats())
    other._open(chat_id, 0)
    until(lambda: other._conversation.chat.id == chat_id)
    until(lambda: len(other.transcript.views) == 2)
    view = view_of(other, 0)
    assert editor(view).toPlainText() == "Hi there"
    press(view, "Send")
    until(lambda: daemon.asked[-1]["messages"][-1]["content"] == "Hi there")
    until(idle(other))
    assert other._conversation.unsent.edits == {}
    again.leaving()
    again.close()
    again.deleteLater()


def test_an_edit_that_is_sent_while_an_answer_comes_stays_in_its_field(page, until, daemon):
    type_in(page, "Hi")
    until(idle(page))
    go = threading.Event()

    def answer(_):
        go.wait(60)
        yield said("Later")
        yield end()

    begin_edit(page, " there")
    daemon.answer = answer
    page._conversation.send("And now?")
    press(view_of(page, 0), "Send")
    assert page._toast.isVisible() and editor(view_of(page, 0)).toPlainText() == "Hi there"
    go.set()
    until(idle(page))
    press(view_of(page, 0), "Send")
    until(idle(page))
    assert daemon.asked[-1]["messages"] == [{"role": "user", "content": "Hi there"}]


def test_a_number_that_is_none_does_not_keep_the_system_prompt_back(page, until):
    page.parameters._fields["seed"].setText("7")
    page.parameters.flush()
    page.parameters._fields["seed"].setText("seven")
    page.parameters._system.setPlainText("Be brief.")
    page.parameters.flush()
    assert not page.parameters.is_right
    chat = page._conversation.chat
    assert (chat.system, chat.options) == ("Be brief.", {"seed": 7})
    page.parameters._fields["seed"].clear()
    page.parameters.flush()
    assert page.parameters.is_right and page._conversation.chat.options == {}


def test_a_file_that_comes_after_its_chat_was_left_waits_there(page, until):
    type_in(page, "Hi")
    until(idle(page))
    first = page._conversation.chat.id
    page.begin(is_temporary=False)
    page.attaching._take(TextFile("late.txt", "words"), first)
    assert page.composer.files == []
    page._open(first, 0)
    until(lambda: page._conversation.chat.id == first)
    assert [file.name for file in page.composer.files] == ["late.txt"]

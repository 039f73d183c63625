"""What is around a question: files and pictures beside it, what it waits for, words found again."""

from __future__ import annotations

import threading

from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from gui.chats.files import TextFile
from gui.chats.pictures import Picture
from gui.views.main_window import MainWindow
from runner.client.decode_keeping import Change
from tests.gui.chats.test_pictures import png
from tests.gui.scripted import MODEL, end, said
from tests.gui.views.test_chat_page import idle, type_in, view_of


def test_a_library_that_cannot_be_read_is_told_in_the_chat_too(
    link, archive, settings, until, daemon, monkeypatch
):
    broken = {"error": "Permission denied", "code": "store_failed"}
    monkeypatch.setattr(daemon, "models", [])
    monkeypatch.setattr(daemon, "lines", lambda path, _: iter([broken]))
    window = MainWindow(link, settings, archive)
    window.show()
    page = window.page("chat")
    until(lambda: "[" in page.middle.notice._text.text())
    assert page.middle.notice._title.text() == "The library cannot be read"
    window.leaving()
    window.close()
    until(lambda: link.is_quiet)
    window.deleteLater()


def drop(widget, mime):
    """Drop something on a widget, as the window system would."""
    place, buttons = QPointF(5, 5), Qt.MouseButton.LeftButton
    no_keys, copy = Qt.KeyboardModifier.NoModifier, Qt.DropAction.CopyAction
    enter = QDragEnterEvent(place, copy, mime, buttons, no_keys)
    QApplication.sendEvent(widget, enter)
    if enter.isAccepted():
        event = QDropEvent(place, copy, mime, buttons, no_keys)
        QApplication.sendEvent(widget, event)
    return enter.isAccepted()


def test_files_and_pictures_are_dropped_anywhere_on_a_chat(page, until, daemon, tmp_path):
    daemon.abilities = ["completion", "vision"]
    page.entered()
    until(lambda: page._seeing)
    path = tmp_path / "notes.txt"
    path.write_text("remember")
    file, picture, text = QMimeData(), QMimeData(), QMimeData()
    file.setUrls([QUrl.fromLocalFile(str(path))])
    picture.setImageData(QImage.fromData(png()))
    text.setText("words are typed, not dropped")
    assert drop(page, file) and drop(page, picture) and not drop(page, text)
    until(lambda: {type(one) for one in page.composer.files} == {TextFile, Picture})


def test_what_was_added_and_not_sent_waits_in_its_chat(page, until, tmp_path):
    type_in(page, "Hi")
    until(idle(page))
    first = page._conversation.chat.id
    path = tmp_path / "notes.txt"
    path.write_text("remember")
    page.attaching.add([path])
    until(lambda: page.composer.files)
    page.begin(is_temporary=False)
    assert page.composer.files == []
    page._open(first, 0)
    until(lambda: page._conversation.chat.id == first)
    assert [one.name for one in page.composer.files] == ["notes.txt"]


def test_a_text_model_that_is_chosen_says_that_it_sees_no_pictures(page, until, daemon):
    daemon.abilities = ["completion", "vision"]
    page.entered()
    until(lambda: page._seeing)
    page.attaching.paste(png())
    assert page.composer.n_pictures == 1
    page._choose_model("blind:latest")
    assert "blind:latest cannot see pictures" in page._toast._label.text()
    assert page.composer.n_pictures == 1  # another model may see them yet


def test_the_stages_of_a_load_are_told_while_one_waits(page, until, daemon, link):
    go = threading.Event()

    def answer(_):
        go.wait(60)
        yield said("Hi")
        yield end()

    daemon.answer = answer
    page._conversation.send("Hi")
    until(lambda: len(page.transcript.views) == 2)
    view = view_of(page, 1)
    assert view._waiting.text().startswith("Loading the model…")
    for status, percent in (("of a later version", 7), ("upload", 40)):
        load = {"model": MODEL, "status": status, "percent": percent}
        link._tell(Change("load", {"loads": [load]}))
    assert view._waiting.text().startswith("Loading the model: Reading the weights, 40 %")
    link._tell(Change("load", {"loads": [{"nobody": "knows"}]}))
    link._tell(Change("load", {"loads": []}))
    assert view._waiting.text().startswith("Loading the model…")
    go.set()
    until(idle(page))


def test_words_are_found_in_the_chat_by_keys_alone(page, until, daemon):
    daemon.answer = lambda _: iter([said("A **needle** here."), end()])
    type_in(page, "Hay")
    until(idle(page))
    QTest.keyClick(page.composer.field, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    until(page.finder.field.hasFocus)
    QTest.keyClicks(page.finder.field, "needle")
    until(lambda: page.finder.count.text() == "1 of 1")
    until(lambda: view_of(page, 1).body.extraSelections())
    QTest.keyClick(page.finder.field, Qt.Key.Key_Escape)
    until(page.composer.field.hasFocus)
    assert page.finder.isHidden() and not view_of(page, 1).body.extraSelections()

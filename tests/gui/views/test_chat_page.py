"""The chat page: a window driven by keys and clicks, with a scripted daemon."""

from __future__ import annotations

import base64
import threading
from datetime import UTC, datetime

from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPlainTextEdit, QPushButton

from gui.settings import Settings
from gui.theme import THEME
from gui.views.main_window import MainWindow
from gui.words import WORDS
from runner.client.decode_keeping import Change
from tests.gui.chats.test_pictures import png
from tests.gui.scripted import MODEL, end, said


def type_in(page, text):
    QTest.keyClicks(page.composer.field, text)
    QTest.keyClick(page.composer.field, Qt.Key.Key_Return)


def idle(page):
    talk = page._conversation
    return lambda: not talk.answering_id and page.transcript.is_settled


def shown(page):
    return [view.body.toPlainText().strip() for view in page.transcript.views.values()]


def view_of(page, index):
    return list(page.transcript.views.values())[index]


def button(where, name):
    return next(
        b for b in where.findChildren(object) if getattr(b, "accessibleName", str)() == name
    )


def test_a_question_is_typed_sent_and_answered(page, until, daemon):
    daemon.answer = lambda _: iter([said("Hello **you**"), end()])
    type_in(page, "Hi")
    until(idle(page))
    assert shown(page) == ["Hi", "Hello you"]
    assert page.composer.text == ""
    assert page.side._model.rowCount() == 1


def test_no_part_of_the_page_is_ever_a_window_of_its_own(window, page, until):
    windows = []
    QGuiApplication.instance().focusWindowChanged.connect(windows.append)
    type_in(page, "Hi")
    until(idle(page))
    assert windows == [] and window.isActiveWindow()


def test_a_model_that_another_program_brought_can_be_chosen_at_once(page, link, until, daemon):
    daemon.models = [*daemon.models, "brought:latest"]
    link.told.emit(Change("model", {}))
    until(lambda: page._models == ["brought:latest", MODEL])


def test_shift_enter_begins_a_line_and_empty_words_are_not_sent(page, daemon):
    field = page.composer.field
    QTest.keyClick(field, Qt.Key.Key_Return)
    QTest.keyClicks(field, "a")
    QTest.keyClick(field, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClicks(field, "b")
    assert page.composer.text == "a\nb"
    assert not daemon.asked


def test_escape_stops_and_the_button_says_so(page, until, daemon):
    go = threading.Event()

    def answer(_):
        yield said("Begun")
        while not daemon.left.is_set():
            yield said(".")
            go.wait(0.01)

    daemon.answer = answer
    type_in(page, "Hi")
    until(lambda: page._conversation.tree.path()[-1].text)
    assert page.composer._button.accessibleName() == "Stop"
    QTest.keyClick(page.composer.field, Qt.Key.Key_Escape)
    until(idle(page))
    until(daemon.left.is_set)
    assert page.composer._button.accessibleName() == "Send"
    assert "stopped" in view_of(page, 1)._buttons._figures.text()


def test_branches_are_stepped_through(page, until, daemon):
    type_in(page, "Hi")
    until(idle(page))
    daemon.answer = lambda _: iter([said("Another"), end()])
    QTest.mouseClick(view_of(page, 1)._buttons._retry, Qt.MouseButton.LeftButton)
    until(lambda: shown(page) == ["Hi", "Another"])
    until(idle(page))
    assert view_of(page, 1)._buttons._branch.text() == "2/2"
    QTest.mouseClick(view_of(page, 1)._buttons._back, Qt.MouseButton.LeftButton)
    until(lambda: shown(page) == ["Hi", "Hello"])


def test_the_last_question_is_edited_with_the_arrow(page, until, daemon):
    type_in(page, "Hi")
    until(idle(page))
    QTest.keyClick(page.composer.field, Qt.Key.Key_Up)
    view = view_of(page, 0)
    [field] = [e for e in view.findChildren(QPlainTextEdit) if e.accessibleName()]
    assert field.textCursor().atEnd()
    field.setPlainText("Bye")
    QTest.mouseClick(
        next(b for b in view.findChildren(QPushButton) if b.text() == "Send"),
        Qt.MouseButton.LeftButton,
    )
    until(lambda: daemon.asked[-1]["messages"][-1]["content"] == "Bye")
    until(idle(page))
    assert shown(page) == ["Bye", "Hello"]
    assert page.composer.field.hasFocus()


def test_an_error_is_shown_with_its_code_and_a_way_on(page, until, daemon):
    daemon.answer = lambda _: iter(
        [{"error": "too long", "code": "prompt_too_long", "hint": "cut"}]
    )
    type_in(page, "Hi")
    until(idle(page))
    card = view_of(page, 1)._error
    assert card.isVisible()
    assert card._title.text() == "The chat is too long"
    assert card._text.text() == "too long\ncut\n[prompt_too_long]"
    daemon.answer = lambda _: iter([said("Better"), end()])
    QTest.mouseClick(card.retry, Qt.MouseButton.LeftButton)
    until(lambda: shown(page) == ["Hi", "Better"])
    until(idle(page))


def test_thinking_is_folded_with_its_time(page, until, daemon):
    type_in(page, "Hi")
    until(idle(page))
    talk = page._conversation
    turn = talk.tree.path()[-1]
    from dataclasses import replace

    talk.tree.put(replace(turn, thinking="Hm, *well*", figures={"thinking_s": 3.21}))
    talk.grew.emit(turn.id)
    view = view_of(page, 1)
    assert view._fold.text() == "Thought for 3.2 s"
    assert not view._thinking.isVisible()
    QTest.mouseClick(view._fold, Qt.MouseButton.LeftButton)
    until(lambda: view._thinking.toPlainText().strip() == "Hm, well")


def test_a_dropped_file_goes_with_the_question(page, until, daemon, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("remember")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    page.composer.field.insertFromMimeData(mime)
    until(lambda: page.composer._files)
    type_in(page, "What?")
    until(idle(page))
    sent = daemon.asked[-1]["messages"][-1]["content"]
    assert "**notes.txt**" in sent and "remember" in sent and sent.endswith("What?")


def test_a_file_that_is_no_text_is_refused_in_words(page, until, tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(b"\0\1")
    page.composer.files_given.emit([path])
    until(lambda: page._toast.isVisible())
    assert "x.bin is not text" in page._toast._label.text()


def test_a_search_finds_a_turn_and_opens_it(page, until, daemon):
    type_in(page, "Refrigerators")
    until(idle(page))
    page.begin(is_temporary=False)
    QTest.keyClicks(page.side.search, "refrig")
    until(lambda: page.side._model.rowCount() == 1 and page.side._model.index(0).data(256 + 3))
    page.side.list.clicked.emit(page.side._model.index(0))
    until(lambda: shown(page)[:1] == ["Refrigerators"])


def test_a_deleted_chat_comes_back_with_undo(page, until):
    type_in(page, "Hi")
    until(idle(page))
    chat_id = page._conversation.chat.id
    page._ask("delete", chat_id)
    assert page.side._model.rowCount() == 0
    QTest.mouseClick(page._toast._button, Qt.MouseButton.LeftButton)
    until(lambda: page._conversation.chat.id == chat_id)
    assert page.side._model.rowCount() == 1


def test_what_is_typed_is_there_when_the_chat_is_opened_again(page, until):
    type_in(page, "Hi")
    until(idle(page))
    first = page._conversation.chat.id
    QTest.keyClicks(page.composer.field, "not yet")
    page.begin(is_temporary=False)
    assert page.composer.text == ""
    page._open(first, 0)
    until(lambda: page._conversation.chat.id == first)
    assert page.composer.text == "not yet"


def test_parameters_are_checked_and_sent(page, until, daemon):
    panel = page.parameters
    panel._fields["temperature"].setText("0.5")
    panel._fields["top_k"].setText("many")
    panel.flush()
    assert "Top K" in panel._wrong.text() and panel._wrong.isVisibleTo(panel)
    panel._fields["top_k"].setText("5")
    panel._system.setPlainText("Be brief.")
    panel.flush()
    type_in(page, "Hi")
    until(idle(page))
    assert daemon.asked[-1]["options"] == {"temperature": 0.5, "top_k": 5}
    assert daemon.asked[-1]["messages"][0] == {"role": "system", "content": "Be brief."}


def test_both_languages_and_all_themes_are_drawn(window, page, until):
    type_in(page, "Hi")
    until(idle(page))
    try:
        for theme in ("light", "dark", "contrast"):
            for language in ("en", "zh"):
                THEME.apply(theme)
                WORDS.use(language)
                assert not window.grab().isNull()
        assert page.side._new.text() == "新对话"
    finally:
        WORDS.use("en")
        THEME.apply("light")


def test_an_answer_is_copied_as_it_was_written(page, until, daemon):
    daemon.answer = lambda _: iter([said("Hello **you**"), end()])
    type_in(page, "Hi")
    until(idle(page))
    QTest.mouseClick(view_of(page, 1)._buttons._copy, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == "Hello **you**"


def test_a_long_chat_shows_its_end_first(page, until):
    talk = page._conversation
    for number in range(50):
        talk._add("user", f"turn {number}", talk.tree.leaf_id)
    talk.changed.emit()
    until(idle(page))
    bar = page.transcript.verticalScrollBar()
    assert bar.maximum() > 0
    until(lambda: bar.value() == bar.maximum() and idle(page)())
    assert shown(page)[-1] == "turn 49" and len(shown(page)) < 50
    bar.setValue(0)
    until(lambda: idle(page)() and shown(page)[0] == "turn 0")
    assert "turn 49" not in shown(page) and bar.value() == 0


def test_every_button_has_a_name_to_be_read_aloud(page, until):
    type_in(page, "Hi")
    until(idle(page))
    from PySide6.QtWidgets import QAbstractButton

    nameless = [
        b
        for b in page.findChildren(QAbstractButton)
        if b.isVisible() and not (b.text() or b.accessibleName())
    ]
    # Qt's own: the field's clear button, which appears with its text.
    assert not [b for b in nameless if b.parent() is not page.side.search]


def test_without_a_model_the_first_one_is_offered_and_fetched(
    link, archive, daemon, until, tmp_path
):
    daemon.models = []
    window = MainWindow(link, Settings(tmp_path / "app.json"), archive)
    window.show()
    page = window.page("chat")
    until(lambda: page.middle.first is not None and page.middle.first._cards)
    until(
        lambda: (
            page.middle.first.hubs.text().startswith("Hugging Face answers after")
            or page.middle.first.hubs.text().startswith("ModelScope answers after")
        )
    )
    until(lambda: "A card" in page.middle.first._machine.text())
    until(lambda: "AMD is not used. Install the Vulkan SDK" in page.middle.first.unused.text())
    QTest.mouseClick(page.middle.first._cards[0].button, Qt.MouseButton.LeftButton)
    until(lambda: page._models == [MODEL])
    assert daemon.others[0][0] == "/api/pull"
    assert page.middle.currentWidget() is page.middle.starters
    assert page.composer.isVisible()
    window.leaving()
    window.close()
    window.deleteLater()


def test_a_picture_goes_with_the_question_when_the_model_can_see(page, until, daemon):
    page.attaching.paste(png())
    assert "cannot see pictures" in page._toast._label.text()
    daemon.abilities = ["completion", "vision"]
    page.entered()
    until(lambda: page._seeing)
    mime = QMimeData()
    mime.setImageData(QImage.fromData(png()))
    page.composer.field.insertFromMimeData(mime)
    assert page.composer.n_pictures == 1
    type_in(page, "What is this?")
    until(idle(page))
    [sent] = daemon.asked[-1]["messages"][-1]["images"]
    assert base64.b64decode(sent).startswith(b"\x89PNG")
    row = view_of(page, 0).pictures
    until(lambda: row.labels and not row.labels[0].pixmap().isNull())
    view_of(page, 0).edited.emit("And this?")
    until(lambda: daemon.asked[-1]["messages"][-1]["content"] == "And this?")
    assert daemon.asked[-1]["messages"][-1]["images"] == [sent]
    until(idle(page))


def test_a_preset_is_put_on_kept_and_forgotten(page, until, daemon):
    bar = page.parameters.presets
    assert bar.box.currentText() == "Plain"
    bar._choose(bar.box.findText("Precise"))
    assert page._conversation.chat.options == {"temperature": 0.2, "top_p": 0.8}
    page.parameters._fields["seed"].setText("7")
    page.parameters.flush()
    assert bar.box.currentIndex() == -1
    bar.kept.emit("mine")
    until(lambda: bar.box.findText("mine") >= 0)
    assert bar.box.currentText() == "mine"
    page.begin(is_temporary=False)
    assert bar.box.currentText() == "Plain"
    bar._choose(bar.box.findText("mine"))
    assert page._conversation.chat.options["seed"] == 7
    bar.forgotten.emit("mine")
    until(lambda: bar.box.findText("mine") < 0)


def test_the_place_in_the_queue_is_shown_while_one_waits(page, link, until, daemon):
    go = threading.Event()

    def answer(_):
        go.wait(60)
        yield said("At last")
        yield end()

    daemon.answer = answer
    type_in(page, "Hi")
    talk = page._conversation
    until(lambda: talk.waits_since is not None)
    row = {
        "id": "1",
        "model": MODEL,
        "state": "queued",
        "position": 3,
        "priority": "interactive",
        "client": "127.0.0.1",
        "n_prompt": 0,
        "n_cached": 0,
        "n_generated": 0,
        "started": datetime.fromtimestamp(talk._answer.asked_at, UTC).isoformat(),
        "seconds": 0.1,
    }
    link.told.emit(Change("request", {"requests": [row]}))
    assert view_of(page, 1)._waiting.text().startswith("Place 3 in the queue")
    read = row | {"state": "prompt", "position": 0, "n_prompt": 3900, "n_cached": 812}
    link.told.emit(Change("request", {"requests": [read]}))
    assert "Reading 3,900 tokens · 812 from the cache" in view_of(page, 1)._waiting.text()
    link.told.emit(Change("request", {"requests": "nonsense"}))
    go.set()
    until(idle(page))
    assert view_of(page, 1)._waiting.isHidden()

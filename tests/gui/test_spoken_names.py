"""A screen reader has a word for whatever the keyboard reaches: in every page, panel and dialog."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QHeaderView,
    QScrollBar,
    QSpinBox,
    QSplitter,
    QTabBar,
    QTabWidget,
    QWidget,
)

from gui.contents import pages
from gui.settings import Settings
from gui.theme import THEME
from gui.views.defaults_dialog import DefaultsDialog
from gui.views.folder_dialog import FolderDialog
from gui.views.key_panel import NewKey, ShownKey
from gui.views.main_window import MainWindow
from gui.views.modelfile_dialog import ModelfileDialog
from gui.views.quantize_dialog import QuantizeDialog
from gui.widgets.ask import ask_text, confirm
from gui.widgets.keys_dialog import KeysDialog
from tests.fakes.folders import FOLDER
from tests.gui.scripted import MODEL

#: What a screen reader names by what is inside, or Qt by itself.
PARTS = (QScrollBar, QHeaderView, QTabBar, QTabWidget, QSplitter)


@pytest.fixture
def window(link, archive, tmp_path, until):
    THEME.apply("light")
    made = MainWindow(link, Settings(tmp_path / "app.json"), archive)
    made.resize(1180, 800)
    made.show()
    yield made
    made.leaving()
    made.close()
    until(lambda: link.is_quiet)
    made.deleteLater()


def nameless(root):
    """Return what the keyboard reaches below a widget and no screen reader can name."""
    return [
        widget
        for widget in root.findChildren(QWidget)
        if widget.isVisibleTo(root)
        and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and not isinstance(widget, PARTS)
        and not widget.objectName().startswith("qt_")
        and not isinstance(widget.parent(), QComboBox | QSpinBox)  # the field of a field
        and not spoken(widget)
    ]


def spoken(widget):
    told = QAccessible.queryAccessibleInterface(widget)
    return told is not None and told.text(QAccessible.Text.Name).strip()


def test_each_page_and_each_of_its_tabs(window, until):
    for entry in pages():
        page = window.page(entry.key)
        until(lambda: window.link.is_quiet)
        for tabs in page.findChildren(QTabWidget) or [None]:
            for at in range(tabs.count() if tabs else 1):
                if tabs:
                    tabs.setCurrentIndex(at)
                assert nameless(page) == [], (entry.key, at)


def test_a_chat_with_all_its_panels_open(window, until):
    page = window.page("chat")
    until(lambda: page._models)
    page._conversation.send("Hi")
    until(lambda: not page._conversation.answering_id and page.transcript.is_settled)
    page.show_part("parameters")
    page.finder.begin()
    page.transcript.edit_last()
    assert nameless(page) == []


DIALOGS = {
    "keys": KeysDialog,
    "folder": lambda parent: FolderDialog(parent, parent.link, FOLDER),
    "new key": NewKey,
    "shown key": lambda parent: ShownKey(parent, "phone", "secret"),
    "modelfile": lambda parent: ModelfileDialog(parent, parent.link, MODEL, "FROM x"),
    "defaults": lambda parent: DefaultsDialog(parent, parent.link, MODEL, "", {}),
    "quantize": lambda parent: QuantizeDialog(parent, parent.link, MODEL),
    "question": lambda parent: confirm(parent, "Sure?", "It goes.", "Go", lambda: None),
    "text": lambda parent: ask_text(parent, "Name", "Of it.", "Keep", lambda _: None),
}


@pytest.mark.parametrize("kind", DIALOGS)
def test_each_dialog(kind, window, until):
    dialog = DIALOGS[kind](window)
    assert isinstance(dialog, QDialog)
    dialog.show()
    assert dialog.windowTitle()
    assert nameless(dialog) == []
    dialog.reject()
    until(lambda: window.link.is_quiet)

"""What dialogs ask about a chat: its title, the file to write it to, the one to take in."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QInputDialog, QWidget

from gui.chats.conversation import Conversation
from gui.chats.shelf import Shelf
from gui.chats.storage import Chat
from gui.words import tr


def title(over: QWidget, chat: Chat, shelf: Shelf) -> None:
    """Ask for another title."""
    dialog = QInputDialog(over)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setWindowTitle(tr("Rename"))
    dialog.setLabelText(tr("Title of the chat"))
    dialog.setTextValue(chat.title)
    dialog.textValueSelected.connect(
        lambda text: shelf.change(chat.id, title=text.strip() or chat.title)
    )
    dialog.open()


def where(over: QWidget, conversation: Conversation, ending: str, shelf: Shelf) -> None:
    """Ask for the file to write a chat to; ``ending``: ``md`` or ``json``."""
    name = "".join(c if c.isalnum() or c in " -_" else "_" for c in conversation.chat.title)
    dialog = QFileDialog(over, tr("Export"))
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setDefaultSuffix(ending)
    dialog.selectFile(f"{name.strip() or 'chat'}.{ending}")
    dialog.fileSelected.connect(lambda path: shelf.export(conversation, Path(path)))
    dialog.open()


def what_to_import(over: QWidget, shelf: Shelf) -> None:
    """Ask for the file of a chat to take in."""
    dialog = QFileDialog(over, tr("Import"))
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setNameFilter("*.json *.md")
    dialog.fileSelected.connect(lambda path: shelf.import_file(Path(path)))
    dialog.open()

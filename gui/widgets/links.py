"""Opening a link of an answer or a card: its target is shown first, and nothing is fetched here."""

from __future__ import annotations

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QMessageBox, QWidget

from gui.words import tr

_SCHEMES = ("http", "https", "mailto")
_SHOWN_CHARS = 600


def ask_and_open(parent: QWidget, url: QUrl) -> QMessageBox:
    """Show where a link leads, and open it when the user says so; returns the question."""
    address = url.toString(QUrl.ComponentFormattingOption.FullyEncoded)
    box = QMessageBox(parent)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setWindowTitle(tr("Open link"))
    box.setText(tr("This link leads to the following address. Open it?"))
    box.setInformativeText(address[:_SHOWN_CHARS])
    if url.scheme() in _SCHEMES:
        opens = box.addButton(tr("Open"), QMessageBox.ButtonRole.AcceptRole)
        opens.clicked.connect(lambda: QDesktopServices.openUrl(url))
    copies = box.addButton(tr("Copy"), QMessageBox.ButtonRole.ActionRole)
    copies.clicked.connect(lambda: QGuiApplication.clipboard().setText(address))
    box.setDefaultButton(box.addButton(tr("Cancel"), QMessageBox.ButtonRole.RejectRole))
    box.open()
    return box

"""Where a question is typed: text, files beside it, and the button that sends or stops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QMimeData, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from gui.chats.files import TextFile, with_files
from gui.chats.pictures import Picture
from gui.icons import dress
from gui.theme import THEME, XS, S
from gui.widgets.flow import FlowRow
from gui.widgets.pictures import PictureRow, pasted
from gui.words import tr

#: Pixels: the field grows with its text between these.
_LOWEST, _TALLEST = 38, 220
#: Width of a file's name, in sizes of the type.
_NAME_TYPES = 18
#: Pixels of a picture that waits to be sent.
_CHIP = QSize(64, 40)


class PromptEdit(QPlainTextEdit):
    """A field that grows; Enter sends, Shift+Enter begins a line.

    Signals:
        sent: Enter was pressed.
        files_given: Paths that were dropped or pasted.
        picture_given: A picture's file that was pasted, as ``bytes``.
        back_asked: Arrow up in an empty field.
    """

    sent = Signal()
    files_given = Signal(list)
    picture_given = Signal(bytes)
    back_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("prompt")
        self.setTabChangesFocus(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.textChanged.connect(self._fit)
        self._fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Send, go back, or type."""
        is_enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if is_enter and event.modifiers() in (
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.KeypadModifier,
        ):
            self.sent.emit()
        elif event.key() == Qt.Key.Key_Up and not self.toPlainText():
            self.back_asked.emit()
        else:
            super().keyPressEvent(event)

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        """Take files as well as text."""
        return source.hasUrls() or source.hasImage() or super().canInsertFromMimeData(source)

    def insertFromMimeData(self, source: QMimeData) -> None:
        """Take dropped or pasted files as files."""
        paths = local_files(source)
        if paths:
            self.files_given.emit(paths)
        elif not source.hasText() and (content := pasted(source)):
            self.picture_given.emit(content)
        else:
            super().insertFromMimeData(source)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A narrower field needs more lines."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        # A QPlainTextEdit's document counts its height in lines.
        n_lines = self.document().size().height()
        height = round(n_lines * self.fontMetrics().lineSpacing()) + 24
        self.setFixedHeight(max(_LOWEST, min(height, _TALLEST)))


class Composer(QFrame):
    """The field with its buttons.

    Signals:
        sent: What to say, files included, and the pictures' files as a tuple of ``bytes``.
        stopped: End the answer that is coming.
        files_wanted: The user wants to choose files.
        files_given: Paths of files that were dropped or pasted.
        picture_given: A picture's file that was pasted.
        typed: The text changed.
        files_set: What goes with the question, as a list, is something else.
    """

    sent = Signal(str, tuple)
    stopped = Signal()
    files_wanted = Signal()
    files_given = Signal(list)
    picture_given = Signal(bytes)
    typed = Signal(str)
    files_set = Signal(list)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("composer")
        self._files: list[TextFile | Picture] = []
        self._is_busy = False
        self._can_send = True
        self.field = PromptEdit()
        self.field.sent.connect(self._send)
        self.field.files_given.connect(self.files_given)
        self.field.picture_given.connect(self.picture_given)
        self.field.textChanged.connect(self._on_text)
        self._chips = FlowRow()
        self._chips.hide()
        self._attach = QToolButton()
        dress(self._attach, "attach", "muted")
        self._attach.setFixedSize(36, 36)
        self._attach.clicked.connect(self.files_wanted)
        self._button = QPushButton()
        self._button.setProperty("role", "primary")
        self._button.setObjectName("round")
        self._button.setFixedHeight(36)
        self._button.clicked.connect(self._press)
        row = QHBoxLayout()
        row.setSpacing(XS)
        row.addWidget(self._attach, 0, Qt.AlignmentFlag.AlignBottom)
        row.addWidget(self.field, 1)
        row.addWidget(self._button, 0, Qt.AlignmentFlag.AlignBottom)
        column = QVBoxLayout(self)
        column.setContentsMargins(S, S, S, S)
        column.setSpacing(XS)
        column.addWidget(self._chips)
        column.addLayout(row)
        self.retranslate()

    @property
    def text(self) -> str:
        """What is typed."""
        return self.field.toPlainText()

    def set_text(self, text: str) -> None:
        """Replace what is typed."""
        self.field.setPlainText(text)
        self.field.moveCursor(self.field.textCursor().MoveOperation.End)

    @property
    def files(self) -> list[TextFile | Picture]:
        """What goes with the question."""
        return list(self._files)

    def set_files(self, files: Sequence[TextFile | Picture]) -> None:
        """Replace what goes with the question."""
        self._files = list(files)
        self._show_chips()
        self._show_button()
        self.files_set.emit(self.files)

    @property
    def n_pictures(self) -> int:
        """How many pictures go with the question."""
        return sum(isinstance(file, Picture) for file in self._files)

    def add_file(self, file: TextFile | Picture) -> None:
        """Let a file or a picture go with the question."""
        self.set_files([*self._files, file])

    def set_busy(self, is_busy: bool) -> None:
        """Whether an answer is coming: the button stops it."""
        self._is_busy = is_busy
        self._show_button()

    def set_can_send(self, can_send: bool) -> None:
        """Whether there is anybody who could answer."""
        self._can_send = can_send
        self._show_button()

    def retranslate(self) -> None:
        """The language changed."""
        self.field.setPlaceholderText(tr("Ask anything"))
        self.field.setAccessibleName(tr("Your question"))
        self.field.setToolTip(tr("Enter sends, Shift+Enter begins a line"))
        self._attach.setToolTip(tr("Add files"))
        self._attach.setAccessibleName(tr("Add files"))
        self._show_button()
        self._show_chips()

    def take(self, source: QMimeData) -> None:
        """Take what was dropped on the chat: files, or a picture."""
        if paths := local_files(source):
            self.files_given.emit(paths)
        elif content := pasted(source):
            self.picture_given.emit(content)

    def _press(self) -> None:
        if self._is_busy:
            self.stopped.emit()
        else:
            self._send()

    def _send(self) -> None:
        texts = [file for file in self._files if isinstance(file, TextFile)]
        images = tuple(file.content for file in self._files if isinstance(file, Picture))
        words = with_files(self.text.strip(), texts)
        if (words or images) and self._can_send and not self._is_busy:
            self.set_files([])
            self.set_text("")
            self.sent.emit(words, images)

    def _on_text(self) -> None:
        self._show_button()
        self.typed.emit(self.text)

    def _show_button(self) -> None:
        name = tr("Stop") if self._is_busy else tr("Send")
        dress(self._button, "stop" if self._is_busy else "send", "on_accent")
        self._button.setToolTip(f"{name} ({'Esc' if self._is_busy else 'Enter'})")
        self._button.setAccessibleName(name)
        has_words = bool(self.text.strip() or self._files)
        self._button.setEnabled(self._is_busy or (has_words and self._can_send))

    def _show_chips(self) -> None:
        while (item := self._chips.flow.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for file in self._files:
            self._chips.flow.addWidget(self._chip(file))
        self._chips.setVisible(bool(self._files))

    def _chip(self, file: TextFile | Picture) -> QWidget:
        chip = QFrame()
        chip.setObjectName("chip")
        label = QLabel()
        label.setTextFormat(Qt.TextFormat.PlainText)
        shown = label.fontMetrics().elidedText(
            file.name, Qt.TextElideMode.ElideMiddle, _NAME_TYPES * THEME.font_px
        )
        label.setText(shown)
        label.setToolTip(file.name)
        remove = QToolButton()
        dress(remove, "close", "muted")
        remove.setToolTip(tr("Remove"))
        remove.setAccessibleName(tr("Remove {name}", name=file.name))
        remove.clicked.connect(lambda: self._remove(file))
        row = QHBoxLayout(chip)
        row.setContentsMargins(S, 0, 0, 0)
        row.setSpacing(0)
        if isinstance(file, Picture):
            picture = PictureRow(chip, _CHIP)
            picture.show_pictures([file.content])
            row.addWidget(picture)
        row.addWidget(label)
        row.addWidget(remove)
        return chip

    def _remove(self, file: TextFile | Picture) -> None:
        self.set_files([kept for kept in self._files if kept is not file])


def is_welcome(source: QMimeData) -> bool:
    """Return whether what is dragged can go with a question."""
    return bool(local_files(source)) or source.hasImage()


def local_files(source: QMimeData) -> list[Path]:
    """Return the files of this machine that were dropped or pasted."""
    return [Path(url.toLocalFile()) for url in source.urls() if url.isLocalFile()]

"""What goes with a question beside its words: files and pictures, chosen, dropped or pasted.

Files are read on the link's threads.  What was added to a chat and not sent waits there until the
chat is opened again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QFileDialog

from gui.chats.files import TextFile, read
from gui.chats.pictures import MAX_PICTURES, Picture
from gui.link import Link
from gui.widgets.composer import Composer
from gui.words import sentence, tr
from runner.client.client import Client
from runner.errors import CorralError


class Attaching(QObject):
    """Between the composer and the files.

    Signals:
        told: Why something cannot go with the question.
        came_late: A file for the chat of this id, which is no longer the one in sight.
    """

    told = Signal(str)
    came_late = Signal(object, object)  # object: the id has more bits than Qt's int

    def __init__(self, composer: Composer, link: Link) -> None:
        super().__init__(composer)
        self._composer = composer
        self._link = link
        self._chat_id = 0
        self._model, self._sees = "", False
        composer.files_wanted.connect(self._ask)
        composer.files_given.connect(self.add)
        composer.picture_given.connect(self.paste)

    def show_chat(self, chat_id: int, files: Sequence[TextFile | Picture]) -> None:
        """Another chat is open: what was added to it is there again."""
        self._chat_id = chat_id
        self._composer.set_files(files)

    def set_model(self, name: str, *, sees: bool) -> None:
        """Say who will answer, and whether it can see."""
        is_other = name != self._model
        self._model, self._sees = name, sees
        if is_other and self._composer.n_pictures and not sees:
            self._say_blind()

    def add(self, paths: list[Path]) -> None:
        """Let files of this machine go with the question."""
        for path in paths:
            self._read(path, self._chat_id)

    def paste(self, content: bytes) -> None:
        """Let a picture go with the question."""
        number = self._composer.n_pictures + 1
        self._take(Picture(tr("Picture {n}", n=number), content), self._chat_id)

    def _ask(self) -> None:
        dialog = QFileDialog(self._composer, tr("Add files"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.filesSelected.connect(lambda paths: self.add([Path(path) for path in paths]))
        dialog.open()

    def _read(self, path: Path, chat_id: int) -> None:
        def take(file: TextFile | Picture) -> None:
            self._take(file, chat_id)

        def failed(error: CorralError) -> None:
            self.told.emit(sentence(error))

        def work(_: Client) -> TextFile | Picture:
            return read(path)

        self._link.call(work, take, failed)

    def _take(self, file: TextFile | Picture, chat_id: int) -> None:
        """Let a file go with the question, if the model can do anything with it."""
        if isinstance(file, Picture) and not self._sees:
            self._say_blind()
        elif isinstance(file, Picture) and self._composer.n_pictures >= MAX_PICTURES:
            self.told.emit(tr("At most {n} pictures go with a question.", n=MAX_PICTURES))
        elif chat_id != self._chat_id:  # it was read while another chat was opened
            self.came_late.emit(chat_id, file)
        else:
            self._composer.add_file(file)

    def _say_blind(self) -> None:
        hint = tr("Choose a model with vision; the library says which have it.")
        self.told.emit(f"{tr('{name} cannot see pictures.', name=self._model)} {hint}")

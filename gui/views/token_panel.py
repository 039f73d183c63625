"""Tokens of the hubs: given to the daemon, which keeps them and never shows them again."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from gui.theme import M, S
from gui.views.daemon_settings import SettingsSource
from gui.widgets.spoken import Spoken
from gui.words import sentence, tr
from runner.client.decode_keeping import KeptSettings
from runner.errors import CorralError

_HUBS = {
    "hf": ("Hugging Face", "https://huggingface.co/settings/tokens"),
    "modelscope": ("ModelScope", "https://modelscope.cn/my/myaccesstoken"),
}


class TokenPanel(QWidget, Spoken):
    """One line for each hub that takes a token."""

    def __init__(self, source: SettingsSource) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self._source = source
        self.lines: dict[str, _TokenLine] = {}
        heading, words = QLabel(), QLabel()
        heading.setProperty("role", "heading")
        words.setProperty("role", "muted")
        words.setWordWrap(True)
        self.say(heading.setText, lambda: tr("Tokens of the hubs"))
        self.say(
            words.setText,
            lambda: tr(
                "For models whose owners want to know who downloads. Kept in the desktop's keyring"
                " where there is one, else in a file that only you can read; shown to nobody."
            ),
        )
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(S)
        self._column.addWidget(heading)
        self._column.addWidget(words)
        source.told.connect(self._show)
        source.refused.connect(self._refused)
        self.hide()
        if source.kept is not None:
            self._show(source.kept)

    def say_again(self) -> None:
        super().say_again()
        for line in self.lines.values():
            line.say_again()

    def _show(self, kept: KeptSettings) -> None:
        for name, is_set in kept.secrets.items():
            if name not in self.lines:
                line = self.lines[name] = _TokenLine(name, self._source)
                self._column.addWidget(line)
            self.lines[name].show_set(is_set, kept.places.get(name, ""))
        self.setVisible(bool(self.lines))

    def _refused(self, names: list[str], error: CorralError) -> None:
        for name in names:
            if name in self.lines:
                self.lines[name].show_error(error)


class _TokenLine(QWidget, Spoken):
    """A hub's name, a field for its token, and buttons to keep it or take it away."""

    def __init__(self, name: str, source: SettingsSource) -> None:
        QWidget.__init__(self)
        Spoken.__init__(self)
        self._is_set, self._place = False, ""
        self._title, page = _HUBS.get(name, (name, ""))
        title, self.note = QLabel(self._title), QLabel()
        title.setFixedWidth(210)
        self.note.setProperty("role", "bad")
        self.note.setWordWrap(True)
        self.note.hide()
        self.field = QLineEdit()
        self.field.setEchoMode(QLineEdit.EchoMode.Password)
        title.setBuddy(self.field)
        self.keep, self.remove, where = QPushButton(), QPushButton(), QPushButton()
        self.keep.setEnabled(False)
        self.field.textChanged.connect(lambda text: self.keep.setEnabled(bool(text.strip())))
        self.field.returnPressed.connect(self._offer)
        self.keep.clicked.connect(lambda _=False: self._offer())
        self.remove.clicked.connect(lambda _=False: source.put_secret(name, None))
        where.clicked.connect(lambda _=False: QDesktopServices.openUrl(QUrl(page)))
        where.setVisible(bool(page))
        where.setToolTip(page)
        self._put = partial(source.put_secret, name)
        self.say(self.keep.setText, lambda: tr("Keep"))
        self.say(self.remove.setText, lambda: tr("Remove"))
        self.say(where.setText, lambda: tr("Get one"))
        for button in (self.keep, self.remove, where):
            self.say(button.setAccessibleName, partial(self._named, button))
        self.say(self.field.setAccessibleName, lambda: tr("Token of {hub}", hub=self._title))
        row = QHBoxLayout()
        row.setSpacing(S)
        row.addWidget(title)
        row.addWidget(self.field, 1)
        for button in (self.keep, self.remove, where):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(M // 2)
        column.addLayout(row)
        column.addWidget(self.note)
        self.show_set(False)

    def show_set(self, is_set: bool, place: str = "") -> None:
        """Say whether the daemon has a token of this hub, and where: ``file`` or ``keyring``."""
        self._is_set, self._place = is_set, place
        self.note.hide()
        self.remove.setVisible(is_set)
        self._hint()

    def show_error(self, error: CorralError) -> None:
        """Say why it was refused."""
        self.note.setText(sentence(error))
        self.note.show()

    def say_again(self) -> None:
        super().say_again()
        self._hint()

    def _named(self, button: QPushButton) -> str:
        return f"{button.text()}: {self._title}"

    def _hint(self) -> None:
        kept = {
            "keyring": tr("in the desktop's keyring; type another to replace it"),
            "file": tr("in a file of yours alone; type another to replace it"),
        }.get(self._place, tr("a token is kept; type another to replace it"))
        self.field.setPlaceholderText(kept if self._is_set else tr("no token"))

    def _offer(self) -> None:
        token = self.field.text().strip()
        if token:
            self.field.clear()
            self._put(token)

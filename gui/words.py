"""What the app says, in English and Simplified Chinese.

Every text on the screen goes through ``tr``.  English is the key; the ``words_zh`` files have the
other language.  When it changes, ``Words.changed`` tells every widget to write itself anew.
"""

from __future__ import annotations

from PySide6.QtCore import QLocale, QObject, Signal

from gui import words_zh, words_zh_library, words_zh_making, words_zh_settings
from runner.errors import CorralError

CHINESE = {
    **words_zh.CHINESE,
    **words_zh_settings.CHINESE,
    **words_zh_making.CHINESE,
    **words_zh_library.CHINESE,
}
LANGUAGES = {"en": "English", "zh": "简体中文"}


class Words(QObject):
    """The language in use; there is one."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.language = "en"

    def use(self, language: str) -> None:
        """Speak ``language``: ``en``, ``zh``, or empty for the system's."""
        if not language:
            is_chinese = QLocale.system().language() == QLocale.Language.Chinese
            language = "zh" if is_chinese else "en"
        if language != self.language:
            self.language = language
            self.changed.emit()


WORDS = Words()


def sentence(error: CorralError) -> str:
    """Return an error in a line: what happened, and what helps."""
    return "; ".join(part for part in (error.message, error.hint) if part)


def tr(english: str, **values: object) -> str:
    """Return ``english`` in the language in use, with ``{names}`` filled in."""
    text = CHINESE.get(english, english) if WORDS.language == "zh" else english
    return text.format(**values) if values else text

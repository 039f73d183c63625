"""BERT's own way from text to tokens, for texts that llama.cpp reads otherwise.

llama.cpp takes off every mark of a letter where BERT takes off those without a width of their own:
the vowels of Devanagari and its sisters go.  And a word of more than 100 characters is unknown to
BERT.  Such texts are tokenized here, all others by llama.cpp, which is quicker.

Source: ``BertNormalizer``, ``BertPreTokenizer`` and ``WordPiece`` of Hugging Face's ``tokenizers``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

#: What llama.cpp writes before the first piece of a word; the others have nothing before them.
WORD = "\u2581"
_MOST_CHARS = 100  # of a word
_LONG = re.compile(r"\S{101}")
#: Characters that are words of their own, as BERT has them.
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """A vocabulary of pieces; safe from any thread.

    Args:
        ids: Tokens by their text: ``WORD`` and the beginning of a word, or the inside of one.
        unknown: The token of a word that cannot be put together.
        is_lower: Whether text is lower-cased first.
        strips_accents: Whether marks without a width are taken off.
    """

    def __init__(
        self, ids: Mapping[str, int], unknown: int, *, is_lower: bool, strips_accents: bool
    ) -> None:
        self._ids = ids
        self._unknown = unknown
        self._is_lower = is_lower
        self._strips_accents = strips_accents
        self._n_longest = max(map(len, ids), default=0)

    def differs(self, text: str) -> bool:
        """Whether llama.cpp would make other tokens of ``text``, which is decomposed."""
        if _LONG.search(text):
            return True
        if not self._strips_accents or text.isascii():
            return False
        return any(unicodedata.category(char) in ("Mc", "Me") for char in text)

    def tokenize(self, text: str) -> list[int]:
        """Return the tokens of ``text``, without any around it."""
        return [token for word in self._words(text) for token in self._pieces(word)]

    def _words(self, text: str) -> Iterator[str]:
        if self._strips_accents:
            text = unicodedata.normalize("NFD", text)
        word: list[str] = []
        for char in text:
            kind = unicodedata.category(char)
            is_space = char in "\t\n\r" or kind[0] == "Z"
            if not is_space and (kind in ("Cc", "Cf", "Co") or char == "\ufffd"):
                continue
            if self._strips_accents and kind == "Mn":
                continue
            is_alone = _is_alone(char, kind)
            if (is_space or is_alone) and word:
                yield "".join(word)
                word.clear()
            if is_alone:
                yield char
            elif not is_space:
                word.append(char.lower() if self._is_lower else char)
        if word:
            yield "".join(word)

    def _pieces(self, word: str) -> list[int]:
        """The longest pieces from the left; the unknown token where they do not fit."""
        if len(word) > _MOST_CHARS:
            return [self._unknown]
        found: list[int] = []
        start = 0
        while start < len(word):
            before = "" if start else WORD
            for end in range(min(len(word), start + self._n_longest), start, -1):
                token = self._ids.get(before + word[start:end])
                if token is not None:
                    found.append(token)
                    start = end
                    break
            else:
                return [self._unknown]
        return found


def _is_alone(char: str, kind: str) -> bool:
    """Whether a character is a word by itself: punctuation, ASCII symbols, ideographs."""
    if kind[0] == "P" or (char.isascii() and kind[0] == "S"):
        return True
    return any(low <= ord(char) <= high for low, high in _IDEOGRAPHS)

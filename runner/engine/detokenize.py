"""Bytes of tokens to whole Unicode characters.

A character may be spread over several tokens; its bytes are held back until it is whole.
"""

from __future__ import annotations

import codecs

_new_decoder = codecs.getincrementaldecoder("utf-8")


class Detokenizer:
    """The text of one sequence.

    Bytes that can never become a character are shown as U+FFFD.  A character that the end of the
    answer cuts in half is left out: half a character is no text.
    """

    __slots__ = ("_decoder", "_is_whole")

    def __init__(self) -> None:
        self._decoder = _new_decoder(errors="replace")
        self._is_whole = True  # nothing is held back

    def feed(self, piece: bytes) -> str:
        """Return the characters that ``piece`` completes."""
        if self._is_whole and piece.isascii():  # most are, and this is done for every token
            return piece.decode("ascii")
        text = self._decoder.decode(piece)
        self._is_whole = not self._decoder.getstate()[0]
        return text

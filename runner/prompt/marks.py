"""Markers in text that comes in pieces: where one may be about to begin, and which are tokens.

A model can write the characters of a marker without meaning it.  Where its vocabulary has a
control token for the marker, only the token counts: whoever knows where one stands puts ``CONTROL``
before its characters, and who reads looks for the two together.  Elsewhere the characters are all
there is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

#: Stands before the characters of a control token: a lone surrogate, which no model can write.
CONTROL = "\ud800"


def marked(text: str, places: Iterable[int]) -> str:
    """Return ``text`` with a mark at each of ``places``, ascending, where control tokens begin."""
    parts, last = [], 0
    for place in places:
        parts += [text[last:place], CONTROL]
        last = place
    return "".join((*parts, text[last:]))


def spelt(marker: str, controls: Collection[str]) -> str:
    """Return ``marker`` as it stands in marked text: with a mark where it is a control token."""
    return CONTROL + marker if marker in controls else marker


def unmarked(text: str) -> str:
    """Return ``text`` as it is to be shown."""
    return text.replace(CONTROL, "")


def overlap(text: str, marker: str) -> int:
    """Return the length of the longest end of ``text`` that is a proper beginning of ``marker``."""
    for n in range(min(len(marker) - 1, len(text)), 0, -1):
        if text.endswith(marker[:n]):
            return n
    return 0

"""Markers in text that comes in pieces: where one may be about to begin."""

from __future__ import annotations


def overlap(text: str, marker: str) -> int:
    """Return the length of the longest end of ``text`` that is a proper beginning of ``marker``."""
    for n in range(min(len(marker) - 1, len(text)), 0, -1):
        if text.endswith(marker[:n]):
            return n
    return 0

"""Sizes in bytes, in words for people.  Pure."""

from __future__ import annotations

from collections.abc import Callable


def size_text(n_bytes: int) -> str:
    """Return a size: ``2.5 GB``, ``340 MB``, ``12 KB``."""
    if n_bytes < 10**6:
        return f"{n_bytes / 1e3:.0f} KB"
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 10**9 else f"{n_bytes / 1e6:.0f} MB"


def told_apart(first: int, second: int, said: Callable[[int], str] = size_text) -> tuple[str, str]:
    """Return two sizes to be compared: in other words wherever they are not the same.

    "It needs 4.1 GB, and 4.1 GB can be free" would say nothing.

    Args:
        first: Bytes.
        second: Bytes.
        said: How either is said where that tells them apart.
    """
    for words in (said, _in_mb):
        if words(first) != words(second):
            return words(first), words(second)
    if first == second:
        return said(first), said(second)
    return f"{first} bytes", f"{second} bytes"


def _in_mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.0f} MB"

"""Bytes a second as people write them: ``5M``, ``500k``, ``1.5 MB/s``; pure."""

from __future__ import annotations

import re

_SPEED = re.compile(
    r"(\d{1,12}(?:\.\d{1,6})?)\s*(?:([kmg])?(i)?b?)?\s*(?:/s|ps)?", re.IGNORECASE | re.ASCII
)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3}


def parse_speed(text: str | int) -> int:
    """Return bytes a second; 0 stands for no limit.

    Args:
        text: A number with or without a unit; ``k``, ``M`` and ``G`` are powers of 1000, ``Ki``,
            ``Mi`` and ``Gi`` of 1024.  ``0`` and ``none`` mean no limit.

    Raises:
        ValueError: It is none of these, in words for people.
    """
    if isinstance(text, str) and text.strip().lower() in ("none", "off", "unlimited"):
        return 0
    found = _SPEED.fullmatch(str(text).strip())
    if found is None:
        raise ValueError(f"want bytes a second such as 5M or 500k, not '{str(text)[:40]}'")
    number, unit, binary = found.groups()
    factor: int = (1024 if binary else 1000) ** _POWERS[(unit or "").lower()]
    return round(float(number) * factor)

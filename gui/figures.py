"""Sizes, counts and times in words, in the language in use.  Pure but for the language."""

from __future__ import annotations

import math

from gui.words import tr

_SIZES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB"))
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def size(n_bytes: float) -> str:
    """Return bytes in decimal units with about three digits: ``512 B``, ``1.24 GB``, ``92 MB``."""
    for unit, name in _SIZES:
        if n_bytes >= unit:
            value = n_bytes / unit
            # Tens of megabytes need no decimals, a handful of gigabytes do.
            digits = 0 if value >= 100 or (unit < 10**9 and value >= 10) else 1
            return f"{value:.{digits}f} {name}"
    return f"{int(n_bytes)} B"


def speed(rate_bps: float) -> str:
    """Return bytes a second."""
    return f"{size(rate_bps)}/s"


def count(n: int) -> str:
    """Return a large count: ``7B``, ``1.5B``, ``135M``, ``12K``."""
    for unit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if n >= unit:
            value = n / unit
            return (
                f"{value:.1f}".removesuffix(".0") + letter
                if value < 100
                else f"{value:.0f}{letter}"
            )
    return str(n)


def grouped(n: int) -> str:
    """Return a count in full, its digits in groups of three."""
    return f"{n:,}"


def left(seconds: float | None) -> str:
    """Return a time that is left: ``45 s``, ``3 min``, ``2 h 5 min``; empty when not known."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return tr("{n} s", n=whole)
    if whole < _HOUR:
        return tr("{n} min", n=math.ceil(whole / _MINUTE))
    hours, rest = divmod(whole, _HOUR)
    if hours >= 48:
        return tr("{n} days", n=hours // 24)
    return tr("{h} h {m} min", h=hours, m=rest // _MINUTE)


def ago(moment: float, now: float) -> str:
    """Return how long before ``now`` a moment was, both in seconds since the epoch."""
    if moment <= 0:
        return tr("never")
    passed = max(0, int(now - moment))
    if passed < _MINUTE:
        return tr("just now")
    if passed < _HOUR:
        return tr("{n} min ago", n=passed // _MINUTE)
    if passed < _DAY:
        return tr("{n} h ago", n=passed // _HOUR)
    if passed < 2 * _DAY:
        return tr("yesterday")
    return tr("{n} days ago", n=passed // _DAY)


def until(moment: float, now: float) -> str:
    """Return how long after ``now`` a moment is; ``math.inf`` is for ever."""
    if math.isinf(moment):
        return tr("until unloaded")
    return tr("for {time}", time=left(max(0.0, moment - now)))

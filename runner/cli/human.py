"""Sizes, counts and times in the words that Ollama's tables use.  Pure."""

from __future__ import annotations

import math

_SIZES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB"))
_MINUTE, _HOUR, _DAY, _WEEK, _MONTH, _YEAR = 60, 3600, 86400, 604800, 2592000, 31536000


def size(n_bytes: int) -> str:
    """Return bytes in decimal units, cut off and not rounded: ``512 B``, ``1.2 GB``, ``42 MB``."""
    for unit, name in _SIZES:
        if n_bytes >= unit:
            tenths = n_bytes * 10 // unit
            whole = tenths >= 100 or tenths % 10 == 0
            return f"{tenths // 10} {name}" if whole else f"{tenths / 10:.1f} {name}"
    return f"{n_bytes} B"


def count(n: int) -> str:
    """Return a count of weights: ``7B``, ``1.5B``, ``134.52M``, ``12K``."""
    if n >= 10**9:
        return f"{n / 10**9:.1f}".removesuffix(".0") + "B"
    if n >= 10**6:
        return f"{n / 10**6:.2f}".removesuffix(".00") + "M"
    return f"{n // 1000}K" if n >= 1000 else str(n)


def distance(seconds: float) -> str:
    """Return a span of time in one unit: ``4 minutes``, ``About an hour``, ``3 weeks``."""
    if seconds < 1:
        return "Less than a second"
    for limit, words in ((2, "1 second"), (_MINUTE, ""), (2 * _MINUTE, "About a minute")):
        if seconds < limit:
            return words or f"{int(seconds)} seconds"
    if _HOUR <= seconds < 2 * _HOUR:
        return "About an hour"
    for limit, unit, name in (
        (_HOUR, _MINUTE, "minutes"),
        (2 * _DAY, _HOUR, "hours"),
        (2 * _WEEK, _DAY, "days"),
        (2 * _MONTH, _WEEK, "weeks"),
        (2 * _YEAR, _MONTH, "months"),
    ):
        if seconds < limit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds // _YEAR)} years"


def ago(moment: float, now: float) -> str:
    """Return how long before ``now`` a moment was; both in seconds since the epoch."""
    return f"{distance(max(0.0, now - moment))} ago" if moment > 0 else "Never"


def until(moment: float, now: float) -> str:
    """Return how long after ``now`` a moment is; ``math.inf`` is ``Forever``."""
    if math.isinf(moment):
        return "Forever"
    return f"{distance(moment - now)} from now" if moment > now else "Stopping..."


def span(seconds: float) -> str:
    """Return a measured time to about four digits: ``812.4ms``, ``3.251s``, ``2m5.3s``."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f}µs"
    if seconds < 1:
        return f"{seconds * 1e3:.1f}ms"
    if seconds < _MINUTE:
        return f"{seconds:.3f}s"
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + f"{minutes}m{rest / 10:.1f}s"


def clock(seconds: float) -> str:
    """Return a remaining time in at most six characters: ``45s``, ``1m03s``, ``99h+``."""
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    if whole < 100 * _HOUR:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
    return "99h+"

"""Spans of time as Go writes them: ``5m``, ``1h30m``, ``-1s``, ``300ms``.

Ollama's API and environment use this grammar (Go's ``time.ParseDuration``), so we do.
"""

from __future__ import annotations

import math
import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Return seconds; negative ones for a text with a minus sign.

    Raises:
        ValueError: ``text`` is not a duration; a bare number other than 0 lacks its unit.
    """
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    parts = list(_PART.finditer(rest))
    if not parts or "".join(part[0] for part in parts) != rest:
        try:
            float(rest)
        except ValueError:
            raise ValueError(f'time: invalid duration "{text}"') from None
        raise ValueError(f'time: missing unit in duration "{text}"')
    return sign * sum(float(part[1]) * _UNITS[part[2]] for part in parts)


def keep_alive_seconds(value: float | str) -> float:
    """Return how long a model stays loaded: a number is seconds, a string a duration.

    Negative means for ever (``math.inf``), as in Ollama.

    Raises:
        ValueError: A string that is not a duration, or a number that is not a time.
    """
    seconds = parse_duration(value) if isinstance(value, str) else float(value)
    if math.isnan(seconds):
        raise ValueError("keep_alive must be a number of seconds or a duration")
    return seconds if seconds >= 0 else math.inf

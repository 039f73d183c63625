"""Spans of time as Go writes them: ``5m``, ``1h30m``, ``-1s``, ``300ms``.

Ollama's API and environment use this grammar (Go's ``time.ParseDuration``), so we do.
"""

from __future__ import annotations

import math
import re

#: The micro sign and the Greek letter mu look alike; Go takes both.
_MICRO = ("us", "\u00b5s", "\u03bcs")
_UNITS = {"ns": 1e-9, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0} | dict.fromkeys(_MICRO, 1e-6)
# Possessive: a million digits without a unit are refused as fast as they are read.
_PART = re.compile(r"([0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_NUMBER = re.compile(r"[0-9]++(?:\.[0-9]*+)?|\.[0-9]++")


def parse_duration(text: str) -> float:
    """Return seconds; negative ones for a text with a minus sign.

    Raises:
        ValueError: ``text`` is not a duration; a bare number other than 0 lacks its unit.
    """
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    seconds = 0.0
    at = 0
    while part := _PART.match(rest, at):
        seconds += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if not rest or at < len(rest):
        reason = "missing unit in" if _NUMBER.fullmatch(rest, at) else "invalid"
        raise ValueError(f'time: {reason} duration "{text[:80]}"')
    return sign * seconds


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

"""Values that were read of a model's text, written on as JSON that every client can read.

What Python reads generously, JSON has not: NaN, numbers without end, half a surrogate pair.  Pure.
"""

from __future__ import annotations

import json
import math
from typing import Any

from runner.prompt.toolcalls.source import NotACall


def read_json(text: str) -> Any:
    """Return the value that ``text`` is.

    Raises:
        ValueError: It is no JSON, or has a number that no float comes near.
        RecursionError: It nests too deeply.
    """
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def as_json(value: Any) -> str:
    """Return ``value`` as JSON text; half a surrogate pair becomes U+FFFD.

    Raises:
        NotACall: JSON has no such value, or nobody reads a number that long.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        raise NotACall from None
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(digits)
    return number


def _refuse(word: str) -> None:
    raise ValueError(word)  # NaN and Infinity are not JSON

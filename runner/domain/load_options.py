"""Options about how a model is loaded whose values are more than a number or a truth value."""

from __future__ import annotations

import math
from typing import Any

from runner.domain.duration import keep_alive_seconds
from runner.errors import InvalidRequest

#: Types that the cache can have, the largest first.
KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
#: ``enum llama_rope_scaling_type`` in ``llama.h``, by name.
ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")

_MOST_DEVICES = 128


def parse_word(name: str, value: Any, words: tuple[str, ...]) -> str:
    """Return ``value`` as one of the words that option ``name`` may be.

    Raises:
        InvalidRequest: It is another.
    """
    word = value.strip().lower() if isinstance(value, str) else value
    if word not in words:
        raise InvalidRequest(
            f"{name} must be {', '.join(words[:-1])} or {words[-1]}, not {str(value)[:40]!r}",
            param=name,
        )
    return str(word)


def parse_split(value: Any) -> tuple[float, ...]:
    """Return the shares of accelerators: numbers, or texts such as ``3,1``.

    Raises:
        InvalidRequest: One is no number, negative, or all are 0.
    """
    items = value if isinstance(value, list | tuple) else [value]
    parts = [
        part for item in items for part in (item.split(",") if isinstance(item, str) else [item])
    ]
    try:
        shares = tuple(math.nan if isinstance(part, bool) else float(part) for part in parts)
    except (TypeError, ValueError, OverflowError):
        shares = ()
    is_good = all(0 <= share < math.inf for share in shares) and sum(shares) > 0
    if not is_good or len(shares) > _MOST_DEVICES:
        raise InvalidRequest(
            f"tensor_split must be shares such as 3,1, not {str(value)[:40]!r}",
            param="tensor_split",
        )
    return shares


def parse_stay(value: Any, *, high: float) -> float:
    """Return seconds, -1 for ever: of a number, or a text such as ``10m``.

    Raises:
        InvalidRequest: It is neither, or beyond ``high``.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(f"want seconds or a duration such as 10m, not {str(value)[:40]!r}")
        seconds = keep_alive_seconds(value)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(f"keep_alive: {error}", param="keep_alive") from None
    if math.isnan(seconds):
        raise InvalidRequest("keep_alive must be a number", param="keep_alive")
    return -1.0 if seconds > high else seconds

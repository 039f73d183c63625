"""JSON of a caller's own inside a request: schemas of tools, and what was called with.

It goes to the model's process and into its template as it is, so it must be what both can hold:
numbers of 64 bits, whole characters, and no more depth than a program follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.errors import InvalidRequest

#: Objects and arrays inside each other.
MAX_DEPTH = 100
#: What MessagePack's integers hold.
_LOW, _HIGH = -(2**63), 2**64 - 1


def plain(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return an object of JSON as it can be passed on.

    An integer of more than 64 bits becomes the nearest float, as in most languages; half a
    surrogate pair, which JSON's escapes can spell, becomes U+FFFD.

    Raises:
        InvalidRequest: It is nested too deeply, or has a number that no float comes near; the
            message names ``where``.
    """
    return {_text(key): _plain(member, where, 1) for key, member in value.items()}


def _plain(value: Any, where: str, depth: int) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return value if _LOW <= value <= _HIGH else _float(value, where)
    if isinstance(value, dict | list) and depth >= MAX_DEPTH:
        raise InvalidRequest(f"'{where}' is nested deeper than {MAX_DEPTH} levels", param=where)
    if isinstance(value, dict):
        return {_text(key): _plain(member, where, depth + 1) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member, where, depth + 1) for member in value]
    return value


def _text(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _float(number: int, where: str) -> float:
    try:
        return float(number)
    except OverflowError:
        raise InvalidRequest(f"'{where}' has a number that is too large", param=where) from None

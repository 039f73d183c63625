"""Go's spellings of texts and numbers: read, and written as ``fmt`` and ``encoding/json`` do."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

#: What stands around a shielded spelling (``prompt/literal.py``): it must come out as it went in.
MARKS = "\ufdd0\ufdd1"

_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|)",
    re.DOTALL,
)
_NAMED = {
    **{"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"},
    **{"\\": "\\", "'": "'", '"': '"'},
}
_OCTAL = re.compile(r"([+-]?)0_?([0-7][0-7_]*)")
_MAX_INT = 2**63
_JSON_ESCAPES = {
    **{code: f"\\u{code:04x}" for code in (*range(32), 0x2028, 0x2029, *map(ord, "<>&"))},
    **{ord("\b"): "\\b", ord("\f"): "\\f", ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"},
    **{ord('"'): '\\"', ord("\\"): "\\\\"},
}


def encoded(text: str) -> bytes:
    """Return the bytes of ``text``, as Go counts and cuts them; halves of characters stay."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a pair, which only JSON's escapes can write
        return text.encode("utf-8", "replace")


def decoded(content: bytes) -> str:
    """Return the text of ``content``; what is no character stays what it is until ``whole``."""
    return content.decode("utf-8", "surrogateescape")


def whole(text: str) -> str:
    """Return ``text`` with the sign for what is no character in its place."""
    return encoded(text).decode("utf-8", "replace")


def unquote(text: str) -> str:
    """Return what a quoted text of Go's means.

    Raises:
        ValueError: It has an escape that there is not.
    """
    quote, inner = text[0], text[1:-1]
    if quote == "`":
        return inner.replace("\r", "")
    other = '"' if quote == "'" else "'"

    def meant(match: re.Match[str]) -> str:
        named, two, four, eight, octal = match.groups()
        if named and named != other:
            return _NAMED[named]
        if two or octal:
            code = int(two, 16) if two else int(octal, 8)
            if code > 255:
                raise ValueError("invalid syntax")
            return chr(code) if quote == "'" else decoded(bytes([code]))
        if four or eight:
            code = int(four or eight, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise ValueError("invalid syntax")
            return chr(code)
        raise ValueError("invalid syntax")

    # Escaped bytes next to each other may be one character.
    return decoded(encoded(_ESCAPE.sub(meant, inner))) if "\\" in inner else inner


def number(text: str) -> int | float:
    """Return the number that ``text`` is in Go.

    Raises:
        ValueError: It is none, or too large for 64 bits.
    """
    bad = ValueError(f'illegal number syntax: "{text}"')
    if text.endswith("i"):
        raise ValueError(f'complex numbers are not supported: "{text}"')
    try:
        octal = _OCTAL.fullmatch(text)
        value = int(octal[1] + octal[2], 8) if octal else int(text, 0)
    except ValueError:
        value = None
    if value is not None:
        if not -_MAX_INT <= value < _MAX_INT:
            raise ValueError(f'integer overflow: "{text}"')
        return value
    try:
        if "x" in text.lower():
            if "p" not in text.lower():
                raise bad
            return float.fromhex(text.replace("_", ""))
        found = float(text)
    except (ValueError, OverflowError):
        raise bad from None
    if math.isinf(found) or not any(sign in text for sign in ".eEpP"):
        raise bad
    return found


def float_text(value: float, verb: str = "g") -> str:
    """Return ``value`` as Go's ``%g`` has it, shortest digits; ``j``: as its JSON has it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign = "-" if math.copysign(1, value) < 0 else ""
    exact = Decimal(repr(abs(value)))
    digits = "".join(map(str, exact.as_tuple().digits)).strip("0") or "0"
    exponent = exact.adjusted() if value else 0
    low, high = (-6, 21) if verb == "j" else (-4, 6)
    # Beyond six digits ``%g`` has an exponent, whatever it takes to write them all.
    if low <= exponent < high:
        return sign + _plain(digits, exponent)
    power = f"{abs(exponent):02d}"
    if verb == "j" and exponent < 0:
        power = power.lstrip("0")
    fraction = f".{digits[1:]}" if digits[1:] else ""
    return f"{sign}{digits[0]}{fraction}e{'-' if exponent < 0 else '+'}{power}"


def _plain(digits: str, exponent: int) -> str:
    if exponent < 0:
        return f"0.{'0' * (-exponent - 1)}{digits}"
    if len(digits) <= exponent + 1:
        return digits + "0" * (exponent + 1 - len(digits))
    return f"{digits[: exponent + 1]}.{digits[exponent + 1 :]}"


def quoted_json(text: str) -> str:
    """Return ``text`` as a JSON string of ``encoding/json``, which escapes HTML's signs."""
    return f'"{whole(text).translate(_JSON_ESCAPES)}"'


def json_text(value: Any) -> str:
    """Return the JSON of plain values, mappings in their own order, without spaces."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return float_text(value, "j")
        case str():
            return quoted_json(value)
        case list() | tuple():
            return f"[{','.join(map(json_text, value))}]"
        case dict():
            pairs = (f"{quoted_json(key)}:{json_text(entry)}" for key, entry in value.items())
            return f"{{{','.join(pairs)}}}"
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON")

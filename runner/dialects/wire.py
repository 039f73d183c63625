"""JSON as it crosses the wire: bodies read with errors for people, answers safe to cut at lines.

Every dialect reads and writes through here; what the fields mean is theirs.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn, TypeVar

import msgspec

from runner.errors import InvalidRequest

T = TypeVar("T")

_encoder = msgspec.json.Encoder()

#: Characters that Python's ``splitlines``, and so httpx and the clients on it, take for the end
#: of a line.  msgspec escapes those below U+0020 itself.
_LINE_ENDS = (
    ("\x85".encode(), rb"\u0085"),
    ("\u2028".encode(), rb"\u2028"),
    ("\u2029".encode(), rb"\u2029"),
)

#: msgspec's words for JSON types, as its errors use them.
_WORDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "object": "an object",
    "array": "an array",
}
_MISTYPED = re.compile(r"Expected `(?P<want>[^`]+)`, got `(?P<got>[^`]+)`")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]+)`")
_PLACE = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


def encode(value: object) -> bytes:
    """Return ``value`` as one line of JSON that no client takes for several."""
    try:
        body = _encoder.encode(value)
    except UnicodeEncodeError:  # half a surrogate pair, from a file name that is not Unicode
        plain = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
        body = plain.encode("utf-8", "replace")
    if not body.isascii():
        for raw, escaped in _LINE_ENDS:
            body = body.replace(raw, escaped)
    return body


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return what ``body`` says; half surrogate pairs in it become U+FFFD.

    Raises:
        InvalidRequest: There is no body, it is not JSON (the message says where), or a field has
            another type (the message names the field and both types).
    """
    if not body.strip():
        raise InvalidRequest("missing request body", hint="send a JSON object")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _mended(body)  # before what is wrong with a field comes what is wrong with the whole
        _refuse(error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = _mended(body)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        _refuse(error)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"invalid JSON: {error}") from None


def _mended(body: bytes) -> bytes:
    """Return ``body`` without byte order mark and half surrogate pairs, which msgspec refuses.

    Raises:
        InvalidRequest: It is not JSON; the message has line and column.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"the body is not UTF-8 at byte {error.start}", hint="send JSON encoded as UTF-8"
        ) from None
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        plain = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        raise InvalidRequest("invalid JSON: nested too deeply") from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"invalid JSON at line {error.lineno} column {error.colno}: {error.msg}"
        ) from None
    except ValueError as error:  # thousands of digits
        raise InvalidRequest(f"invalid JSON: {error}") from None
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _refuse_constant(word: str) -> NoReturn:
    raise InvalidRequest(f"invalid JSON: {word} is not a JSON number")


def _refuse(error: msgspec.ValidationError) -> NoReturn:
    """Say in our words what msgspec found."""
    text = str(error)
    place = _PLACE.search(text)
    path = place["path"] if place else ""
    if missing := _MISSING.search(text):
        path = f"{path}.{missing['field']}" if path else missing["field"]
        raise InvalidRequest(f"'{path}' is required", param=path) from None
    if unknown := _UNKNOWN.search(text):
        path = f"{path}.{unknown['field']}" if path else unknown["field"]
        raise InvalidRequest(f"'{path[:80]}' is no field of this call", param=path) from None
    what = f"'{path}'" if path else "the body"
    if mistyped := _MISTYPED.search(text):
        wanted = [_WORDS.get(word, word) for word in mistyped["want"].split(" | ")]
        words = " or ".join(word for word in wanted if word != "null")
        got = _WORDS.get(mistyped["got"], mistyped["got"])
        raise InvalidRequest(f"{what} must be {words}, not {got}", param=path or None) from None
    reason = _PLACE.sub("", text)
    raise InvalidRequest(f"{what}: {reason[:1].lower()}{reason[1:]}", param=path or None) from None

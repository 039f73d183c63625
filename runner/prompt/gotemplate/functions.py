"""The functions that templates call: Go's own, and those that Ollama adds.

Each takes the list of its arguments.  ``and`` and ``or`` are here by name alone: they may not look
at all of theirs, so ``execute`` has them.
"""

from __future__ import annotations

import html
import itertools
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from runner.prompt.gotemplate.printf import sprintf
from runner.prompt.gotemplate.scalars import MARKS, decoded, encoded, whole
from runner.prompt.gotemplate.values import (
    Struct,
    Value,
    bare,
    held,
    is_true,
    json_of,
    print_text,
    printable,
    type_name,
)


class CallFailed(Exception):
    """A function cannot do what it was called for; the text says why, in Go's words."""


@dataclass(frozen=True, slots=True)
class Builtin:
    """A function.

    Attributes:
        call: What it does.
        low: Fewest arguments.
        high: Most of them; ``None``: any number.
        wants_text: Whether the first must be a text.
    """

    call: Callable[[list[Value]], Value]
    low: int
    high: int | None
    wants_text: bool = False


def sprint(values: list[Value]) -> str:
    """Return the values as ``fmt.Sprint`` has them: a space between two that are no texts."""
    pieces: list[str] = []
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            pieces.append(" ")
        pieces.append(print_text(value))
    return "".join(pieces)


def _sprintln(values: list[Value]) -> str:
    return " ".join(map(print_text, values)) + "\n"


def _joined(values: list[Value]) -> str:
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    # Only what is nothing becomes a text here: others keep the spaces between them.
    return sprint([printable(value) if bare(value) is None else value for value in values])


def _html(values: list[Value]) -> str:
    text = html.escape(_joined(values).replace("\0", "\ufffd"))
    return text.replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


_JS = {
    **{code: f"\\u00{code:02X}" for code in (*range(32), *map(ord, "<>&="))},
    **{ord(sign): f"\\{sign}" for sign in "\\'\""},
}


def _js(values: list[Value]) -> str:
    return "".join(_js_character(sign) for sign in whole(_joined(values)))


def _js_character(sign: str) -> str:
    if sign < "\x80":
        return _JS.get(ord(sign), sign)
    is_print = unicodedata.category(sign)[0] in "LMNPS" or sign in MARKS
    return sign if is_print else f"\\u{ord(sign):04X}"


def _urlquery(values: list[Value]) -> str:
    return quote(encoded(_joined(values)), safe="-_.~ ").replace(" ", "+")


def _len(values: list[Value]) -> int:
    match values[0]:
        case str() as text:
            return len(encoded(text))
        case list() | dict() as value:
            return len(value)
        case value if bare(value) is None:
            raise CallFailed("len of nil pointer")
        case value:
            raise CallFailed(f"len of type {type_name(value)}")


def _place(value: Value, high: int) -> int:
    """An index in [0, high]; one beyond the last element is caught by the caller."""
    if bare(value) is None:
        raise CallFailed("cannot index slice/array with nil")
    if isinstance(value, bool) or not isinstance(value, int):
        raise CallFailed(f"cannot index slice/array with type {type_name(value)}")
    if not 0 <= value <= high:
        raise CallFailed(f"index out of range: {value}")
    return value


def _index(values: list[Value]) -> Value:
    item, *places = values
    if bare(item) is None:
        raise CallFailed("index of untyped nil")
    for place in places:
        if bare(item) is None:
            raise CallFailed("index of nil pointer")
        item = _at(item, place)
    return item


def _at(item: Value, place: Value) -> Value:
    match item:
        case str():
            content = encoded(item)
            at = _place(place, len(content))
            if at == len(content):
                raise CallFailed(f"index out of range: {at}")
            return content[at]
        case list():
            at = _place(place, len(item))
            if at == len(item):
                raise CallFailed(f"index out of range: {at}")
            return held(item[at])
        case dict():
            if bare(place) is None:
                raise CallFailed("value is nil; should be of type string")
            if not isinstance(place, str):
                raise CallFailed(f"value has type {type_name(place)}; should be string")
            return held(item.get(place))
        case _:
            raise CallFailed(f"can't index item of type {type_name(item)}")


def _slice(values: list[Value]) -> Value:
    item, *places = values
    if bare(item) is None:
        raise CallFailed("slice of untyped nil")
    if len(places) > 3:
        raise CallFailed(f"too many slice indexes: {len(places)}")
    if not isinstance(item, str | list):
        raise CallFailed(f"can't slice item of type {type_name(item)}")
    if isinstance(item, str) and len(places) == 3:
        raise CallFailed("cannot 3-index slice a string")
    whole_item = encoded(item) if isinstance(item, str) else item
    bounds = [0, len(whole_item)]
    for number, place in enumerate(places):
        bounds[number : number + 1] = [_place(place, len(whole_item))]
    for low, high in itertools.pairwise(bounds):
        if low > high:
            raise CallFailed(f"invalid slice index: {low} > {high}")
    part = whole_item[bounds[0] : bounds[1]]
    return decoded(part) if isinstance(part, bytes) else part


def _kind(value: Value) -> str:
    """What kind of value it is, for comparing; empty for those that have no order."""
    return type_name(value) if isinstance(value, bool | int | float | str) else ""


def _eq(values: list[Value]) -> bool:
    first, *others = map(bare, values)
    if not others:
        raise CallFailed("missing argument for comparison")
    return any(_is_equal(first, other) for other in others)


def _is_equal(one: Value, other: Value) -> bool:
    if _kind(one) != _kind(other):
        if one is None or other is None:
            return False
        names = f"{type_name(one)} and {type_name(other)}"
        raise CallFailed(f"incompatible types for comparison: {names}")
    if _kind(one):
        return bool(one == other)
    if one is None or other is None:
        return one is other
    if type_name(one) != type_name(other):
        raise CallFailed(f"non-comparable types {type_name(one)}, {type_name(other)}")
    raise CallFailed(f"non-comparable type {type_name(other)}")


def _lt(values: list[Value]) -> bool:
    one, other = map(bare, values)
    kinds = _kind(one), _kind(other)
    if "" in kinds:
        raise CallFailed("invalid type for comparison")
    if kinds[0] != kinds[1]:
        raise CallFailed(f"incompatible types for comparison: {kinds[0]} and {kinds[1]}")
    if kinds[0] == "bool":
        raise CallFailed("invalid type for comparison")
    if isinstance(one, str):
        return encoded(one) < encoded(other)
    return bool(one < other)


def _le(values: list[Value]) -> bool:
    return _lt(values) or _eq(values)


def _date(n_days: int) -> str:
    return (datetime.now() + timedelta(days=n_days)).strftime("%Y-%m-%d")


_TYPESCRIPT = {
    **{"string": "string", "number": "number", "integer": "number", "boolean": "boolean"},
    **{"array": "any[]", "object": "Record<string, any>", "null": "null"},
}


def typescript_type(value: Value) -> str:
    """Return the TypeScript type of a tool's property; ``any`` when it is none."""
    if not isinstance(value, Struct):
        return "any"
    if any_of := value.fields.get("AnyOf"):
        return " | ".join(map(typescript_type, any_of))
    names = [_TYPESCRIPT.get(name, "any") for name in value.fields.get("Type") or ()]
    return " | ".join(names) or "any"


def _call(values: list[Value]) -> Value:
    if bare(values[0]) is None:
        raise CallFailed("call of nil")
    raise CallFailed(f"non-function of type {type_name(values[0])}")


def _printf(values: list[Value]) -> str:
    return sprintf(values[0], values[1:])


def _not(values: list[Value]) -> bool:
    return not is_true(values[0])


#: Names that ``execute`` gives a meaning.
SHORT_CIRCUIT = ("and", "or")

FUNCTIONS: dict[str, Builtin] = {
    "and": Builtin(lambda values: values[-1], 1, None),
    "or": Builtin(lambda values: values[-1], 1, None),
    "not": Builtin(_not, 1, 1),
    "len": Builtin(_len, 1, 1),
    "index": Builtin(_index, 1, None),
    "slice": Builtin(_slice, 1, None),
    "call": Builtin(_call, 1, None),
    "print": Builtin(sprint, 0, None),
    "println": Builtin(_sprintln, 0, None),
    "printf": Builtin(_printf, 1, None, wants_text=True),
    "html": Builtin(_html, 0, None),
    "js": Builtin(_js, 0, None),
    "urlquery": Builtin(_urlquery, 0, None),
    "eq": Builtin(_eq, 1, None),
    "ne": Builtin(lambda values: not _eq(values), 2, 2),
    "lt": Builtin(_lt, 2, 2),
    "le": Builtin(_le, 2, 2),
    "gt": Builtin(lambda values: not _le(values), 2, 2),
    "ge": Builtin(lambda values: not _lt(values), 2, 2),
    "json": Builtin(lambda values: json_of(values[0]), 1, 1),
    "currentDate": Builtin(lambda values: _date(0), 0, None),
    "yesterdayDate": Builtin(lambda values: _date(-1), 0, None),
    "toTypeScriptType": Builtin(lambda values: typescript_type(values[0]), 1, 1),
}

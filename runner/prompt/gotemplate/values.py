"""What a Go template works with, in Python's types, and how Go prints it.

string, bool, int, float64       str, bool, int, float
map[string]any                   dict, walked in the order of its sorted keys
[]any                            list
a struct                         Struct
nil inside an interface          NIL, where a map or a list holds ``None``
no value at all                  None
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from runner.prompt.gotemplate.scalars import encoded, float_text, json_text

#: Values are whatever Python types the table above has.
Value = Any


class _Nil:
    """The one ``NIL``."""

    def __repr__(self) -> str:
        return "NIL"


NIL: Final = _Nil()


class Struct:
    """A value with fields that Go knows by name, and methods without arguments."""

    def __init__(
        self,
        type_name: str,
        fields: Mapping[str, Value],
        *,
        json: Value = None,
        text: Callable[[], str] | None = None,
        methods: Mapping[str, Callable[[], Value]] | None = None,
    ) -> None:
        """Take what is known of it.

        Args:
            type_name: For errors.
            fields: By name, in order.
            json: What ``json`` writes, when that is not the fields.
            text: How it is printed, when that is not the fields.
            methods: Called where a field of that name is asked for.
        """
        self.type_name = type_name
        self.fields = fields
        self.json = dict(fields) if json is None else json
        self.text = text
        self.methods = {**({"String": text} if text else {}), **(methods or {})}


class Shown(dict[str, Value]):
    """A map that prints as its JSON."""


class ShownList(list[Value]):
    """A list that prints as its JSON."""


class TypeNames(list[Value]):
    """The types of a property: none prints as nothing, one as itself, several as a list."""


def held(value: Value) -> Value:
    """Return what a map or list gives for ``value``: ``NIL`` for ``None``."""
    return NIL if value is None else value


def bare(value: Value) -> Value:
    """Return ``value`` outside of any interface: ``None`` for ``NIL``."""
    return None if value is NIL else value


def is_true(value: Value) -> bool:
    """Whether ``if`` takes ``value`` for true."""
    match value:
        case Struct():
            return True
        case str() | list() | dict():
            return len(value) > 0
        case None:
            return False
        case _:
            return value is not NIL and bool(value)


def type_name(value: Value) -> str:
    """Return the name of the value's type, as errors have it."""
    match value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float64"
        case str():
            return "string"
        case dict():
            return "map[string]interface {}"
        case list():
            return "[]interface {}"
        case Struct():
            return value.type_name
        case _:
            return "interface {}"


def printable(value: Value) -> str:
    """Return what a template writes for ``value``."""
    return "<no value>" if bare(value) is None else print_text(value)


def print_text(value: Value) -> str:
    """Return what ``fmt``'s ``%v`` writes for ``value``."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return float_text(value) if isinstance(value, float) else str(value)
        case Shown() | ShownList():
            return json_of(value)
        case TypeNames() if len(value) <= 1:
            return "".join(map(print_text, value))
        case dict():
            entries = (f"{key}:{print_text(value[key])}" for key in sorted_keys(value))
            return f"map[{' '.join(entries)}]"
        case list():
            return f"[{' '.join(map(print_text, value))}]"
        case Struct():
            if value.text:
                return value.text()
            return f"{{{' '.join(map(print_text, value.fields.values()))}}}"
        case _:
            return "<nil>"


def json_of(value: Value) -> str:
    """Return the JSON of ``value``; maps have their keys in order, where they keep none."""
    return json_text(_plain(value))


def sorted_keys(value: Mapping[str, Value]) -> list[str]:
    """Return the keys in Go's order: that of their bytes."""
    return sorted(value, key=encoded)


def _plain(value: Value) -> Any:
    match value:
        case Struct():
            return _plain_in_order(value.json)
        case dict():
            return {key: _plain(value[key]) for key in sorted_keys(value)}
        case list():
            return [_plain(entry) for entry in value]
        case _:
            return bare(value)


def _plain_in_order(value: Value) -> Any:
    """The JSON of a struct: its fields, and maps below it, stay as they are."""
    match value:
        case Struct():
            return _plain_in_order(value.json)
        case dict():
            return {key: _plain_in_order(entry) for key, entry in value.items()}
        case list():
            return [_plain_in_order(entry) for entry in value]
        case _:
            return bare(value)

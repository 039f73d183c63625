"""Calls written in JSON: an object with a name and arguments, which are told as they come.

The name goes out when it is one of a tool and arguments begin as an object does.  From there on
the characters of the arguments go out as the model writes them: if it breaks the JSON after that,
whoever gets the call sees the same broken text, and nothing of it is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runner.prompt.marks import CONTROL, unmarked
from runner.prompt.toolcalls.source import (
    NotACall,
    Read,
    Source,
    begin,
    expect,
    give,
    more,
    one_of,
    some,
    space,
)
from runner.prompt.toolcalls.told import as_json, read_json

#: Keys that families have for the two parts of a call.
NAME_KEYS = ("name", "tool_name")
ARGUMENT_KEYS = ("arguments", "parameters", "args", "input")


@dataclass(frozen=True, slots=True)
class Call:
    """One call, whole."""

    name: str
    arguments: dict[str, Any]


class _Depth:
    """Finds the end of a JSON object or array that comes in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._is_escaped = False

    def end(self, text: str) -> int:
        """Return where the value ends in its next piece; -1: not in there."""
        for at, char in enumerate(text):
            if self._in_string:
                self._in_string = self._is_escaped or char != '"'
                self._is_escaped = char == "\\" and not self._is_escaped
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if not self._depth:
                    return at + 1
        return -1


def json_value(source: Source) -> Read[Any]:
    """Read a JSON object or array, whole.

    Raises:
        NotACall: Something else comes, or it is not valid.
    """
    yield from some(source)
    if source.text[0] not in "{[":
        raise NotACall
    parts: list[str] = []
    depth = _Depth()
    while True:
        end = depth.end(source.text)
        parts.append(source.take(end if end >= 0 else len(source.text)))
        if end >= 0:
            return _decoded("".join(parts))
        yield from more(source)


def arguments(source: Source, name: str) -> Read[None]:
    """Read an object, and tell it as the arguments of a call of ``name``, piece by piece.

    A control token ends it, whole or not: JSON has none.

    Raises:
        NotACall: No object comes, or no tool has that name; else the answer ends in the middle.
    """
    yield from _object_begins(source)
    yield from begin(source, name)
    depth = _Depth()
    while True:
        control = source.text.find(CONTROL)
        text = source.text if control < 0 else source.text[:control]
        end = depth.end(text)
        yield from give(source, source.take(end if end >= 0 else len(text)))
        if end >= 0 or control >= 0:
            return
        yield from more(source)


def call_object(source: Source) -> Read[None]:
    """Read a call as an object, and tell it.

    Families say ``arguments`` or ``parameters``, some wrap both in ``function``; arguments may be
    an object or, as in OpenAI's API, JSON text of one.  What follows the arguments is of no
    account: a missing bracket at the end does not undo the call.

    Raises:
        NotACall: It is none.
    """
    call = _Told()
    yield from _members(source, call)
    if not call.has_begun:
        yield from _whole_call(source, call.name, call.arguments)
    source.taken.clear()


def call_list(source: Source) -> Read[None]:
    """Read an array of calls, or one call.

    Raises:
        NotACall: It is none.
    """
    yield from some(source)
    if source.text[0] == "{":
        yield from call_object(source)
        return
    yield from expect(source, "[")
    yield from space(source)
    while True:
        yield from call_object(source)
        yield from space(source)
        if not (yield from one_of(source, (",",))):
            yield from one_of(source, ("]",))
            return
        yield from space(source)


def whole_calls(source: Source, calls: Sequence[Call]) -> Read[None]:
    """Tell calls that have been read whole.

    Raises:
        NotACall: There is none, or one of a tool that there is not.
    """
    if not calls or any(call.name not in source.names for call in calls):
        raise NotACall
    told = [(call.name, as_json(call.arguments)) for call in calls]  # all of them, or none
    for name, text in told:
        yield from begin(source, name)
        yield from give(source, text)


def as_call(value: Any) -> Call:
    """Return the call that a whole JSON object is; see ``call_object``.

    Raises:
        NotACall: It is none.
    """
    if not isinstance(value, dict):
        raise NotACall
    inner = value.get("function")
    if isinstance(inner, dict):
        value = inner
    names = (value[key] for key in NAME_KEYS if key in value)
    name = next(names, inner if isinstance(inner, str) else None)
    given = next((value[key] for key in ARGUMENT_KEYS if key in value), None)
    if not isinstance(name, str) or not name:
        raise NotACall
    return Call(name, _object(given))


@dataclass(slots=True)
class _Told:
    """A call's object, as far as it was read."""

    name: str = ""
    arguments: Any = None
    has_begun: bool = False


def _members(source: Source, call: _Told, *, is_inner: bool = False) -> Read[None]:
    """Read the members of an object; those of one under ``function`` are the call's, too."""
    yield from expect(source, "{")
    yield from space(source)
    if (yield from one_of(source, ("}",))):
        return
    while True:
        key = yield from _string(source)
        yield from space(source)
        yield from expect(source, ":")
        yield from space(source)
        yield from some(source)
        if key == "function" and source.text[0] == "{" and not is_inner:
            yield from _members(source, call, is_inner=True)
        else:
            yield from _member(source, key, call)
        yield from space(source)
        mark = yield from one_of(source, (",", "}"))
        if mark != ",":
            if not mark and not call.has_begun:
                raise NotACall
            return
        yield from space(source)


def _member(source: Source, key: str, call: _Told) -> Read[None]:
    """Read the value under ``key``."""
    char = source.text[0]
    if key in ("function", *NAME_KEYS) and char == '"' and not call.name:
        call.name = yield from _string(source)
    elif key in ARGUMENT_KEYS and char == "{" and call.name and not call.has_begun:
        yield from _object_begins(source)
        call.has_begun = call.name in source.names
        yield from arguments(source, call.name)
    elif key in ARGUMENT_KEYS and call.arguments is None:
        call.arguments = yield from _any(source)
    else:
        yield from _any(source)


def _whole_call(source: Source, name: str, given: Any) -> Read[None]:
    if not name:
        raise NotACall
    yield from whole_calls(source, [Call(name, _object(given))])


def _object(given: Any) -> dict[str, Any]:
    """The arguments that ``given`` stands for."""
    if isinstance(given, str):
        given = _decoded(given) if given.strip() else {}
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise NotACall
    return given


def _object_begins(source: Source) -> Read[None]:
    """Return if what comes begins as a JSON object does; nothing is read."""
    while True:
        head = source.text[:1] + source.text[1:].lstrip()[:1]
        if head in ('{"', "{}"):
            return
        if head not in ("", "{"):
            raise NotACall
        yield from more(source)


def _string(source: Source) -> Read[str]:
    """Read a JSON string."""
    yield from some(source)
    if source.text[0] != '"':
        raise NotACall
    at, is_escaped = 1, False
    while True:
        while at < len(source.text):
            char = source.text[at]
            at += 1
            if char == '"' and not is_escaped:
                read = _decoded(source.take(at))
                assert isinstance(read, str)
                return read
            is_escaped = char == "\\" and not is_escaped
        yield from more(source)


def _any(source: Source) -> Read[Any]:
    """Read a JSON value of any kind."""
    yield from some(source)
    if source.text[0] in "{[":
        return (yield from json_value(source))
    if source.text[0] == '"':
        return (yield from _string(source))
    n = 0
    while True:
        while n < len(source.text) and (source.text[n].isalnum() or source.text[n] in "+-."):
            n += 1
        if n < len(source.text) or source.is_ended:
            return _decoded(source.take(n))
        yield None


def _decoded(text: str) -> Any:
    try:
        return read_json(unmarked(text))
    except (ValueError, RecursionError):
        raise NotACall from None

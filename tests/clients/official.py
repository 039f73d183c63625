"""Answers held to the types of the official clients: strictly, and field by field."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter


@cache
def adapter(kind: Any) -> TypeAdapter:
    return TypeAdapter(kind)


def read(kind: Any, raw: bytes | str) -> Any:
    """The answer as ``kind``; fails where a type differs or a field is wanting."""
    return adapter(kind).validate_json(raw, strict=True)


def events(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and data of each server-sent event; comments and ``[DONE]`` are none."""
    text = body.decode()
    assert text.endswith("\n\n")
    for frame in text[:-2].split("\n\n"):
        name = ""
        for line in frame.split("\n"):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and line != "data: [DONE]":
                yield name, line.removeprefix("data: ").encode()


@dataclass
class Fields:
    """What fields answers had, by their place: ``choices[].message.content``.

    Attributes:
        known: Those that the types have.
        more: Those that the types do not have.
    """

    known: set[str] = field(default_factory=set)
    more: set[str] = field(default_factory=set)
    _has_value: defaultdict[str, set[bool]] = field(default_factory=lambda: defaultdict(set))

    def take(self, kind: Any, raw: bytes | str) -> Any:
        """Read an answer, note its fields and return it."""
        found = read(kind, raw)
        self._take(found, json.loads(raw), "")
        return found

    def _take(self, found: Any, raw: Any, place: str) -> None:
        match found, raw:
            case BaseModel(), dict():
                self._take_model(found, raw, f"{place}." if place else "")
            case ((list() | tuple()), list()):
                for one, raw_one in zip(found, raw, strict=True):
                    self._take(one, raw_one, f"{place}[]")
            case _:
                pass

    def _take_model(self, found: BaseModel, raw: dict, head: str) -> None:
        names = {about.alias or name: name for name, about in type(found).model_fields.items()}
        self.known |= {head + name for name in names}
        self.more |= {head + name for name in raw.keys() - names.keys()}
        for name in raw.keys() & names.keys():
            self._has_value[head + name].add(raw[name] is not None)
            self._take(getattr(found, names[name]), raw[name], head + name)

    @property
    def missing(self) -> set[str]:
        """Fields of the types that no answer had."""
        return self.known - self._has_value.keys()

    @property
    def null(self) -> set[str]:
        """Those that no answer had a value for."""
        return {place for place, values in self._has_value.items() if values == {False}}

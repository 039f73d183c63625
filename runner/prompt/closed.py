"""JSON schemas without the members that nobody named.

To JSON Schema an object may have members beside its ``properties`` unless it is told otherwise;
people who list properties mean these, and a small model that may add others does so without end.
So llama.cpp takes such an object as closed, and with it all that stand on it; so do we.  What the
model says is valid under the schema as it was written, too.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Keywords that join several schemas into one: closing one of them could leave nothing valid.
_JOINING = frozenset(
    {
        *("allOf", "not", "if", "unevaluatedProperties", "dependentSchemas", "dependencies"),
        *("$dynamicRef", "$recursiveRef", "propertyNames", "patternProperties"),
    }
)
#: Keywords that say nothing about values, and may stand beside ``$ref``.
_NOTES = frozenset(
    {
        *("$ref", "$defs", "definitions", "$schema", "$id", "$comment"),
        *("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"),
    }
)
_NAMED = ("$defs", "definitions", "properties")
_LISTED = ("anyOf", "oneOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "contains")
#: Parts inside of parts; deeper ones stay as they are.
_MAX_DEPTH = 100


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``schema`` with its objects closed; one that joins others comes back as it is.

    An object stays open that says so itself, that names no properties, or that requires one
    which it does not name.
    """
    if any(_is_joined(part) for part in _all_parts(schema, 0)):
        return dict(schema)
    return _closed(schema, 0)


def _closed(schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
    made = dict(schema)
    if depth >= _MAX_DEPTH:
        return made
    for key in _NAMED:
        if isinstance(named := made.get(key), Mapping):
            made[key] = {name: _value(part, depth) for name, part in named.items()}
    for key in _LISTED:
        if isinstance(listed := made.get(key), list):
            made[key] = [_value(part, depth) for part in listed]
    for key in _SINGLE:
        if key in made:
            made[key] = _value(made[key], depth)
    if _can_be_closed(made):
        made["additionalProperties"] = False
    return made


def _value(part: Any, depth: int) -> Any:
    return _closed(part, depth + 1) if isinstance(part, Mapping) else part


def _can_be_closed(schema: Mapping[str, Any]) -> bool:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties or "additionalProperties" in schema:
        return False
    required, n_least = schema.get("required", []), schema.get("minProperties", 0)
    if not isinstance(required, list) or not isinstance(n_least, int):
        return False
    return all(name in properties for name in required) and n_least <= len(properties)


def _is_joined(schema: Mapping[str, Any]) -> bool:
    """Whether a value has to fit several schemas at a time."""
    if not _JOINING.isdisjoint(schema):
        return True
    if "$ref" in schema and not _NOTES.issuperset(schema):
        return True
    has_several = "anyOf" in schema or "oneOf" in schema
    return has_several and ("properties" in schema or "required" in schema)


def _all_parts(schema: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    """Yield ``schema`` and the schemas inside of it."""
    yield schema
    if depth >= _MAX_DEPTH:
        return
    parts: list[Any] = [schema.get(key) for key in _SINGLE]
    for key in _NAMED:
        named = schema.get(key)
        parts += named.values() if isinstance(named, Mapping) else ()
    for key in _LISTED:
        listed = schema.get(key)
        parts += listed if isinstance(listed, list) else ()
    for part in parts:
        if isinstance(part, Mapping):
            yield from _all_parts(part, depth + 1)

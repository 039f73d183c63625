"""Metadata of a header with its types checked: a wrong type is refused, a missing key is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.errors import BadModelFile
from runner.gguf.reader import GgufArray


class Keys:
    """Metadata with its types checked."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self._metadata = metadata

    def __contains__(self, key: str) -> bool:
        return key in self._metadata

    def text(self, key: str) -> str:
        value = self._metadata.get(key, "")
        if not isinstance(value, str):
            raise _mistyped(key, value, "a string")
        return value

    def integer(self, key: str, *, default: int = 0, high: int = 2**32 - 1) -> int:
        return _integer(key, self._metadata.get(key, default), min(default, 0), high)

    def integers(self, key: str, n_layer: int, default: int) -> tuple[int, ...]:
        """Return one number a layer, where the file gives one for all or one for each."""
        value = self._metadata.get(key, default)
        if isinstance(value, tuple):
            if len(value) < n_layer:
                raise BadModelFile(f"'{key}' has {len(value)} elements for {n_layer} layers")
            return tuple(_integer(key, element, 0, 2**32 - 1) for element in value[:n_layer])
        return (_integer(key, value, 0, 2**32 - 1),) * n_layer

    def flags(self, key: str, n_layer: int) -> tuple[bool, ...] | None:
        """Return one truth a layer; ``None`` when the file does not say it so."""
        value = self._metadata.get(key)
        if not isinstance(value, tuple):
            return None
        if len(value) < n_layer:
            raise BadModelFile(f"'{key}' has {len(value)} elements for {n_layer} layers")
        return tuple(bool(flag) for flag in value[:n_layer])

    def length(self, key: str) -> int:
        value = self._metadata.get(key, ())
        if isinstance(value, GgufArray):
            return value.length
        if not isinstance(value, tuple):
            raise _mistyped(key, value, "an array")
        return len(value)


def _integer(key: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mistyped(key, value, "a whole number")
    if not low <= value <= high:
        raise BadModelFile(f"'{key}' is {value}; it must be from {max(low, 0)} to {high}")
    return value


def _mistyped(key: str, value: Any, wanted: str) -> BadModelFile:
    names = {str: "a string", bool: "a truth value", float: "a fraction", int: "a number"}
    given = names.get(type(value), "an array")
    return BadModelFile(f"'{key}' must be {wanted}, but is {given}")

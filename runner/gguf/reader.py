"""Header, key/values and tensor table of a GGUF file; never its weights.

A model file is written by a stranger, and llama.cpp trusts much of what one says.  So everything is
checked here first: each count and length against the bytes that are left (``cursor.py``), each
tensor against the end of the file.  Whatever the bytes are, the result is a ``Header`` or a
``BadModelFile`` that names the offset and the reason, in bounded time and memory.

What the keys mean is for ``metadata.py``.

Source of the layout: ``ggml/include/gguf.h``; of what is refused: ``ggml/src/gguf.cpp``.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

from runner.errors import BadModelFile
from runner.gguf.cursor import Cursor, Readable
from runner.gguf.lookalike import describe_other
from runner.gguf.tensor_types import REMOVED_TYPES, TENSOR_TYPES

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32

# Limits far beyond any real model, so that a hostile file costs neither memory nor time.
_MAX_KEYS = 1 << 16
_MAX_TENSORS = 1 << 17
_MAX_KEY_BYTES = (1 << 16) - 1  # the format's own limit
_MAX_NAME_BYTES = 63  # ggml.h: GGML_MAX_NAME, the final zero included
_MAX_DIMS = 4  # ggml.h: GGML_MAX_DIMS

_STRING, _ARRAY = 8, 9
#: Scalar types: the ``struct`` letter and a name.
_SCALARS: dict[int, tuple[str, str]] = {
    0: ("B", "u8"),
    1: ("b", "i8"),
    2: ("H", "u16"),
    3: ("h", "i16"),
    4: ("I", "u32"),
    5: ("i", "i32"),
    6: ("f", "f32"),
    7: ("?", "bool"),
    10: ("Q", "u64"),
    11: ("q", "i64"),
    12: ("d", "f64"),
}


@dataclass(frozen=True, slots=True)
class GgufArray:
    """Stands for an array too long to keep.

    Attributes:
        type: ``string``, ``i32``, ``f32`` …
        length: Elements.
    """

    type: str
    length: int


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One line of the tensor table.

    Attributes:
        name: ``blk.0.attn_q.weight``.
        type_id: ``enum ggml_type``.
        type_name: ``Q4_K``.
        shape: Elements a dimension, the contiguous one first, as in the file.
        offset: From the start of the data section, in bytes.
        n_bytes: Size of its data.
    """

    name: str
    type_id: int
    type_name: str
    shape: tuple[int, ...]
    offset: int
    n_bytes: int

    @property
    def n_elements(self) -> int:
        """Numbers it holds."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """All of a GGUF file but its weights.

    Attributes:
        version: 2 or 3.
        metadata: Keys to numbers, strings, tuples; long arrays are ``GgufArray``.
        tensors: In the order of the file.
        alignment: Of every tensor's data, in bytes.
        data_offset: Where the data section starts in the file.
        n_file_bytes: Size of the file.
    """

    version: int
    metadata: Mapping[str, Any]
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_offset: int
    n_file_bytes: int


def read_header(path: Path, *, max_array: int = 1024) -> Header:
    """Return the header of the GGUF file at ``path``; a vocabulary of 256k tokens takes 50 ms.

    Args:
        path: The file; it is opened, read and closed.
        max_array: Longer arrays become a ``GgufArray``.

    Raises:
        BadModelFile: It is not a file, not GGUF, damaged, cut short, or of a version that
            llama.cpp cannot load.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise BadModelFile(f"{path.name} is {kind}", hint="give the path of a .gguf file")
        with FileIO(path) as file:
            n_file_bytes = file.seek(0, 2)
            return read_open(file, path.name, n_file_bytes, max_array=max_array)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or error
        raise BadModelFile(f"cannot read {path}: {reason}") from None


def read_open(file: Readable, name: str, n_file_bytes: int, *, max_array: int = 1024) -> Header:
    """Return the header of an open GGUF file, wherever it lies; ``name`` is for errors.

    Raises:
        BadModelFile: As ``read_header`` does; whatever ``file`` raises goes through.
    """
    return _read(Cursor(file, name, n_file_bytes), max_array)


def _read(cursor: Cursor, max_array: int) -> Header:
    version = _read_version(cursor)
    n_tensors = _read_count(cursor, "tensors", _MAX_TENSORS)
    n_keys = _read_count(cursor, "keys", _MAX_KEYS)
    metadata: dict[str, Any] = {}
    alignment = DEFAULT_ALIGNMENT
    for _ in range(n_keys):
        start = cursor.offset
        key = _text(cursor, cursor.string("a key", _MAX_KEY_BYTES), "a key", start)
        if not key or key in metadata:
            reason = f"the key {key!r} stands there twice" if key else "a key without a name"
            raise cursor.bad(reason, at=start)
        value_type = cursor.u32(f"the type of {key!r}")
        metadata[key] = _read_value(cursor, key, value_type, max_array)
        if key == "general.alignment":
            alignment = _check_alignment(cursor, metadata[key], value_type, start)

    names: set[str] = set()
    table = [_read_tensor(cursor, names) for _ in range(n_tensors)]
    padding = -cursor.offset % alignment
    data_offset = cursor.offset + padding
    _check_places(cursor, table, alignment, data_offset)
    return Header(
        version=version,
        metadata=metadata,
        tensors=tuple(tensor for _, tensor in table),
        alignment=alignment,
        data_offset=data_offset,
        n_file_bytes=cursor.n_file_bytes,
    )


def _read_version(cursor: Cursor) -> int:
    start = cursor.peek(512)
    if start[:4] != MAGIC:
        looks, hint = describe_other(start)
        raise cursor.bad(f"not a GGUF file: {looks}", hint=hint)
    cursor.skip(4, "the magic")
    version = cursor.u32("the version")
    if version in VERSIONS:
        return version
    if version and version & 0xFFFF == 0:
        raise cursor.bad(
            "the file is big-endian GGUF; only little-endian files can be loaded",
            at=4,
            hint="look for a little-endian build of this model",
        )
    if version < VERSIONS[0]:
        raise cursor.bad(
            f"GGUF version {version} is no longer supported; versions 2 and 3 are",
            at=4,
            hint="look for a newer build of this model",
        )
    raise cursor.bad(
        f"GGUF version {version} is newer than this program, which reads versions 2 and 3",
        at=4,
        hint="update Corral, or look for a build of this model in GGUF version 3",
    )


def _read_count(cursor: Cursor, what: str, limit: int) -> int:
    start = cursor.offset
    count = cursor.u64(f"the number of {what}")
    if count > limit:
        raise cursor.bad(f"{count} {what}; at most {limit} are allowed", at=start)
    return count


def _read_value(cursor: Cursor, key: str, value_type: int, max_array: int) -> Any:
    what = f"the value of {key!r}"
    if value_type == _STRING:
        return _loose_text(cursor.string(what))
    if value_type == _ARRAY:
        return _read_array(cursor, key, max_array)
    if value_type in _SCALARS:
        return cursor.scalars(_SCALARS[value_type][0], 1, what)[0]
    raise cursor.bad(f"{what} has the unknown type {value_type}", at=cursor.offset - 4)


def _read_array(cursor: Cursor, key: str, max_array: int) -> tuple[Any, ...] | GgufArray:
    what = f"the array {key!r}"
    start = cursor.offset
    element_type = cursor.u32(f"the element type of {what}")
    if element_type == _ARRAY:
        raise cursor.bad(f"{what} holds arrays, which llama.cpp cannot read", at=start)
    if element_type != _STRING and element_type not in _SCALARS:
        raise cursor.bad(f"{what} has the unknown element type {element_type}", at=start)
    length = cursor.u64(f"the length of {what}")
    letter, type_name = _SCALARS.get(element_type, ("Q", "string"))
    n_bytes = length * struct.calcsize(f"<{letter}")  # of a string, at least its length
    if n_bytes > cursor.n_left:
        raise cursor.bad(
            f"{what} has {length} elements, at least {n_bytes} bytes,"
            f" but only {cursor.n_left} bytes are left",
            at=start,
        )
    if length > max_array:
        if element_type == _STRING:
            cursor.skip_strings(length, what)
        else:
            cursor.skip(n_bytes, what)
        return GgufArray(type_name, length)
    if element_type == _STRING:
        cursor.keep(length)
        return tuple(_loose_text(cursor.string(what)) for _ in range(length))
    return cursor.scalars(letter, length, what)


def _check_alignment(cursor: Cursor, value: Any, value_type: int, start: int) -> int:
    if value_type != 4:  # u32
        raise cursor.bad("'general.alignment' must be of type u32", at=start)
    alignment = int(value)
    if alignment == 0 or alignment & (alignment - 1):
        raise cursor.bad(f"the alignment {alignment} is not a power of two", at=start)
    return alignment


def _read_tensor(cursor: Cursor, names: set[str]) -> tuple[int, TensorInfo]:
    """Return where the entry starts, and the entry; its name joins ``names``."""
    start = cursor.offset
    name = _text(cursor, cursor.string("a tensor's name", _MAX_NAME_BYTES), "a name", start)
    what = f"tensor {name!r}"
    if name in names:
        raise cursor.bad(f"{what} stands there twice", at=start)
    names.add(name)
    n_dims = cursor.u32(f"the number of dimensions of {what}")
    if n_dims > _MAX_DIMS:
        raise cursor.bad(f"{what} has {n_dims} dimensions; at most {_MAX_DIMS} are allowed")
    shape = cursor.scalars("Q", n_dims, f"the shape of {what}")
    if prod(shape) >= 1 << 63 or max(shape, default=0) >= 1 << 63:
        raise cursor.bad(f"{what} has an impossible shape {list(shape)}", at=start)
    type_id = cursor.u32(f"the type of {what}")
    tensor_type = TENSOR_TYPES.get(type_id)
    if tensor_type is None:
        removed = REMOVED_TYPES.get(type_id)
        raise cursor.bad(
            f"{what} has the type {removed}, which llama.cpp has removed"
            if removed
            else f"{what} has the unknown type {type_id}",
            at=start,
            hint="look for another build of this model, or update Corral",
        )
    row = shape[0] if shape else 1
    if row % tensor_type.n_block:
        raise cursor.bad(
            f"{what} has rows of {row} elements, not a multiple of"
            f" {tensor_type.n_block} as {tensor_type.name} needs",
            at=start,
        )
    n_bytes = prod(shape) // tensor_type.n_block * tensor_type.n_block_bytes
    offset = cursor.u64(f"the offset of {what}")
    return start, TensorInfo(name, type_id, tensor_type.name, shape, offset, n_bytes)


def _check_places(
    cursor: Cursor, table: list[tuple[int, TensorInfo]], alignment: int, data_offset: int
) -> None:
    """Refuse tensors that llama.cpp would not find: it wants each right behind the last."""
    expected = 0
    for start, tensor in table:
        what = f"tensor {tensor.name!r}"
        if tensor.offset % alignment:
            reason = f"is misaligned: {tensor.offset} is not a multiple of {alignment}"
            raise cursor.bad(f"{what} {reason}", at=start)
        if tensor.offset != expected:
            relation = "overlaps" if tensor.offset < expected else "leaves a gap behind"
            raise cursor.bad(
                f"{what} {relation} the one before: it is at {tensor.offset} of the data,"
                f" but {expected} is expected",
                at=start,
            )
        expected = tensor.offset + tensor.n_bytes
        end = data_offset + expected
        if end > cursor.n_file_bytes:
            raise cursor.bad(
                f"{what} ends behind the end of the file: {_needed(table, data_offset, end)} bytes"
                f" are needed in all, but the file has {cursor.n_file_bytes}",
                at=start,
            )
        expected += -expected % alignment


def _needed(table: list[tuple[int, TensorInfo]], data_offset: int, end: int) -> int:
    """Bytes that the whole file should have, going by its last tensor; at least ``end``."""
    last = table[-1][1]
    return max(end, data_offset + last.offset + last.n_bytes)


def _text(cursor: Cursor, raw: bytes, what: str, start: int) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise cursor.bad(f"{what} is not UTF-8", at=start) from None


def _loose_text(raw: bytes) -> str:
    """A value's text; vocabularies may hold bytes that are no UTF-8."""
    return raw.decode("utf-8", errors="replace")

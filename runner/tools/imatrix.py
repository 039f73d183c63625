"""Importance matrices: how much each input of a tensor matters, measured on a text beforehand.

Read in both forms that llama.cpp writes.  Source: ``common/imatrix-loader.cpp``, and what
``tools/quantize/quantize.cpp`` makes of it: mean squares, one a column and expert.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from runner.errors import BadModelFile
from runner.gguf.reader import Header

Matrix = Mapping[str, npt.NDArray[np.float32]]

_SUMS, _COUNTS = ".in_sum2", ".counts"
_MAGIC = b"GGUF"
#: More than any tensor's name, in bytes, and any tensor's columns times experts.
_MAX_NAME, _MAX_VALUES = 512, 1 << 28
#: llama.cpp itself does without the matrix for it.
_EMBEDDINGS = ("token_embd.weight", "per_layer_token_embd.weight")


def read_imatrix(path: Path) -> Matrix:
    """Return the importance of each column, by the tensor's name.

    Raises:
        BadModelFile: It is no importance matrix, or is damaged; the message names the entry.
    """
    try:
        with path.open("rb") as file:
            is_gguf = file.read(4) == _MAGIC
        found = _from_gguf(path) if is_gguf else _from_legacy(path.read_bytes())
    except OSError as error:
        raise BadModelFile(f"the importance matrix cannot be read: {error.strerror}") from None
    if not found:
        raise _not_one("it has no entries")
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise BadModelFile(
                f"the importance matrix has values for '{name}' that are no numbers",
                hint="make it again, on another text",
            )
    return found


def check_fits(matrix: Matrix, header: Header) -> None:
    """Return if ``matrix`` was made for the model of ``header``.

    Raises:
        BadModelFile: It was made for another; the message names a tensor.
    """
    tensors = {tensor.name: tensor for tensor in header.tensors}
    known = [name for name in matrix if name in tensors]
    if not known:
        raise BadModelFile(
            f"the importance matrix is of another model: it has '{next(iter(matrix))}' and"
            f" {len(matrix) - 1} more, none of which this model has",
            hint="give one that was made with this model",
        )
    for name in known:
        shape = tensors[name].shape
        wanted = shape[0] * (shape[2] if len(shape) > 2 else 1)
        if matrix[name].size != wanted and name not in _EMBEDDINGS:
            raise BadModelFile(
                f"the importance matrix is of another model: it has {matrix[name].size} values for"
                f" '{name}', which here has {wanted} columns",
                hint="give one that was made with this model",
            )


def _from_gguf(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    try:
        reader = gguf.GGUFReader(path)
        tensors = {tensor.name: tensor for tensor in reader.tensors}
    except (ValueError, KeyError, IndexError, OverflowError, MemoryError, UnicodeDecodeError):
        raise _not_one("its GGUF header is damaged") from None
    found = {}
    for name, sums in tensors.items():
        if not name.endswith(_SUMS):
            continue
        stem = name.removesuffix(_SUMS)
        counts = tensors.get(stem + _COUNTS)
        kind = gguf.GGMLQuantizationType.F32
        if counts is None or sums.tensor_type != kind or counts.tensor_type != kind:
            raise _not_one(f"'{stem}' has no counts, or not in F32")
        n = np.asarray(counts.data, np.float32).reshape(-1, 1)
        values = np.asarray(sums.data, np.float32)
        if not n.size or values.size % n.size:
            raise _not_one(f"'{stem}' has {values.size} sums for {n.size} counts")
        values = values.reshape(n.size, -1)
        # What was never reached counts the same everywhere.
        mean = np.divide(values, n, out=np.ones_like(values), where=n > 0)
        found[stem] = np.ascontiguousarray(mean.reshape(-1))
    return found


def _from_legacy(raw: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """Entries one after the other: length and name, calls, number of values and the values."""
    found = {}
    try:
        (n_entries,) = struct.unpack_from("<i", raw, 0)
        at = 4
        if not 0 < n_entries < 1 << 20:
            raise _not_one(f"it says that it has {n_entries} entries")
        for _ in range(n_entries):
            (n_name,) = struct.unpack_from("<i", raw, at)
            if not 0 < n_name <= _MAX_NAME or at + 4 + n_name > len(raw):
                raise _not_one(f"a name of {n_name} bytes")
            name = raw[at + 4 : at + 4 + n_name].decode("utf-8", "replace")
            at += 4 + n_name
            n_calls, n_values = struct.unpack_from("<ii", raw, at)
            at += 8
            if not 0 < n_values <= _MAX_VALUES or at + 4 * n_values > len(raw):
                raise _not_one(f"'{name}' is cut short")
            values = np.frombuffer(raw, "<f4", n_values, at).astype(np.float32)
            at += 4 * n_values
            found[name] = values / n_calls if n_calls > 0 else values
    except struct.error:
        raise _not_one("it is cut short") from None
    return found


def _not_one(reason: str) -> BadModelFile:
    return BadModelFile(
        f"this is no importance matrix: {reason}",
        hint="give a file that llama-imatrix wrote",
    )

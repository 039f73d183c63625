"""Orders of rows: where a folder turns halves of a head, llama.cpp's files turn neighbours."""

from __future__ import annotations

from runner.tools.convert.folder import Array


def put_between(array: Array, n_heads: int) -> Array:
    """Return ``array`` with the two halves of each head's rows put between each other.

    Source: ``LlamaModel.permute`` in ``conversion/llama.py`` of llama.cpp.
    """
    halves = array.reshape(n_heads, 2, array.shape[0] // n_heads // 2, *array.shape[1:])
    return halves.swapaxes(1, 2).reshape(array.shape)

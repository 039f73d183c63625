"""Tokens to choose from, in the form that llama.cpp's samplers work on."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.engine.llama.binding import llama_cpp

# llama.h, struct llama_token_data.
_RECORD = np.dtype([("token", np.int32), ("logit", np.float32), ("p", np.float32)])
_POINTER = ctypes.POINTER(llama_cpp.llama_token_data)


class Candidates:
    """Room for ``n_most`` tokens, used again for each choice; for one thread at a time."""

    def __init__(self, n_most: int) -> None:
        self._records = np.zeros(n_most, _RECORD)
        self._pointer: Any = ctypes.cast(self._records.ctypes.data, _POINTER)
        self._array: Any = llama_cpp.llama_token_data_array()

    def fill(self, tokens: npt.NDArray[np.int32], logits: npt.NDArray[np.float32]) -> None:
        """Hold ``tokens`` with their ``logits``, two arrays of the same length."""
        n = len(tokens)
        self._records["token"][:n] = tokens
        self._records["logit"][:n] = logits
        self._array.data = self._pointer
        self._array.size = n
        self._array.selected = -1
        self._array.sorted = False

    def apply(self, sampler: Any) -> None:
        """Let a ``llama_sampler *`` filter, order or select."""
        llama_cpp.llama_sampler_apply(sampler, ctypes.byref(self._array))

    def selected(self) -> int:
        """Return the token that the sampler selected."""
        index = self._array.selected
        assert 0 <= index < self._array.size, "the sampler selected nothing"
        return int(self._array.data[index].id)

    def left(self) -> npt.NDArray[np.int32]:
        """Return the tokens that are left, those made impossible excepted."""
        records = self._left()
        tokens: npt.NDArray[np.int32] = records["token"][records["logit"] > -np.inf]
        return tokens

    def probabilities(self) -> dict[int, float]:
        """Return the probability of each token that is left, by the softmax of the logits."""
        records = self._left()
        weights = np.exp(records["logit"].astype(np.float64) - records["logit"].max())
        weights /= weights.sum()
        return dict(zip(records["token"].tolist(), weights.tolist(), strict=True))

    def _left(self) -> npt.NDArray[np.void]:
        # A sampler may also move the beginning: xtc leaves out the likeliest so.
        moved = ctypes.addressof(self._array.data.contents) - self._records.ctypes.data
        first = moved // _RECORD.itemsize
        return self._records[first : first + self._array.size]

"""What requests for vectors and scores have in common in every dialect: inputs and numbers."""

from __future__ import annotations

import base64
import sys
from array import array
from typing import Any

from runner.domain.vectors import Embeddings
from runner.errors import InvalidRequest

#: Inputs of one request; a client that sends more than OpenAI takes has lost count.
MAX_INPUTS = 2048
_MAX_TOKEN_ID = 2**31 - 1  # llama.h: llama_token is an int32
_MAX_DIMENSIONS = 1 << 20

#: Rows of numbers: one vector, or, of an input that is not pooled, one for each token.
Numbers = list[float] | list[list[float]]


def parse_inputs(value: Any) -> tuple[str | tuple[int, ...], ...]:
    """Return the inputs that ``value`` holds: a text, tokens, or a list of either.

    Raises:
        InvalidRequest: It holds something else, or too many.
    """
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        raise InvalidRequest(
            "invalid input type", hint="send a string, a list of strings, or tokens", param="input"
        )
    if value and all(_is_token(item) for item in value):
        return (tuple(value),)
    if len(value) > MAX_INPUTS:
        raise InvalidRequest(
            f"input has {len(value)} items; at most {MAX_INPUTS} are taken at once",
            hint="send them in several requests",
            param="input",
        )
    return tuple(_input(item, f"input[{index}]") for index, item in enumerate(value))


def _input(item: Any, where: str) -> str | tuple[int, ...]:
    if isinstance(item, str):
        return item
    if isinstance(item, list) and item and all(_is_token(token) for token in item):
        return tuple(item)
    raise InvalidRequest(
        f"invalid input type: '{where}' must be a string or a list of token ids", param=where
    )


def _is_token(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_TOKEN_ID


def parse_dimensions(value: int | None) -> int | None:
    """Return how many numbers of a vector to keep; ``None``: all.

    Raises:
        InvalidRequest: It is not positive, or absurd.
    """
    if value is not None and not 1 <= value <= _MAX_DIMENSIONS:
        raise InvalidRequest(
            f"dimensions must be at least 1 and at most the model's own, not {value}",
            param="dimensions",
        )
    return value


def numbers(found: Embeddings) -> list[Numbers]:
    """Return each input's vector as numbers; its tokens' vectors where they are not pooled."""
    rows: list[Numbers] = []
    for raw in found.vectors:
        values = array("f", raw)
        if sys.byteorder == "big":
            values.byteswap()
        flat, n = values.tolist(), found.n_dimensions
        if found.is_pooled:
            rows.append(flat)
        else:
            rows.append([flat[start : start + n] for start in range(0, len(flat), n)])
    return rows


def base64_texts(found: Embeddings) -> list[str]:
    """Return each input's float32 numbers, little-endian, in base64."""
    return [base64.b64encode(raw).decode() for raw in found.vectors]

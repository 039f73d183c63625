"""What means the same in every dialect that has it."""

from __future__ import annotations

from typing import Any

import msgspec

from runner.domain.duration import keep_alive_seconds
from runner.domain.event import Finished, FinishReason
from runner.domain.name import ModelName
from runner.domain.request import AdapterUse, KeepAlive
from runner.errors import InvalidName, InvalidRequest, WorkerError

#: The largest count of llama.cpp's, and more tokens than any answer has.
MOST_TOKENS = 2**31 - 1
#: Strength of an adapter beyond which only noise comes out.
_MAX_SCALE = 100
#: More adapters than any model has.
_MAX_ID = 2**16


def parse_keep_alive(value: Any) -> KeepAlive | None:
    """Return seconds, ``math.inf`` for ever, or ``None`` when ``value`` is.

    Raises:
        InvalidRequest: It is neither a number of seconds nor a duration.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        kind = {bool: "bool", list: "array", dict: "object"}.get(type(value), "value")
        raise InvalidRequest(
            f"Unsupported type: '{kind}'",
            hint='keep_alive is a number of seconds or a duration such as "5m"',
            param="keep_alive",
        )
    try:
        return keep_alive_seconds(value)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest(
            str(error), hint='write a duration such as "5m" or "300s"', param="keep_alive"
        ) from None


class AdapterBody(msgspec.Struct):
    """One item of ``lora``, as llama-server has it."""

    id: int
    scale: float = 1.0


def parse_adapters(lora: list[AdapterBody] | None) -> tuple[AdapterUse, ...] | None:
    """Return the adapters that a request names; ``None`` when it leaves that to the model.

    Raises:
        InvalidRequest: A number is out of range, or comes twice.
    """
    if lora is None:
        return None
    for index, use in enumerate(lora):
        if not -_MAX_SCALE <= use.scale <= _MAX_SCALE:
            where = f"lora[{index}].scale"
            raise InvalidRequest(
                f"{where} must be in [-{_MAX_SCALE}, {_MAX_SCALE}], not {use.scale}", param=where
            )
        where = f"lora[{index}].id"
        if not 0 <= use.id <= _MAX_ID:
            raise InvalidRequest(f"{where} must be in [0, {_MAX_ID}], not {use.id}", param=where)
        if any(use.id == other.id for other in lora[:index]):
            raise InvalidRequest(f"{where}: {use.id} is named twice", param=where)
    return tuple(AdapterUse(use.id, use.scale) for use in lora)


def finish_word(finished: Finished) -> str:
    """Return why an answer ended, ``stop`` or ``length``: all dialects share the words.

    Raises:
        WorkerError: It was cut off, for which no dialect has a word that clients do not take
            for success.
    """
    if finished.reason is FinishReason.ABORTED:
        raise WorkerError("the answer was cut off before its end", hint="ask again")
    return finished.reason.value


class CacheFacts(msgspec.Struct):
    """What the cache had of a prompt.

    ``first_divergence`` is the number of tokens after which the prompt differs from the stored
    text most like it, ``null`` when none begins like it.
    """

    cached_tokens: int
    first_divergence: int | None


def cache_facts(finished: Finished) -> CacheFacts:
    """Return what an answer tells when it was asked to."""
    return CacheFacts(finished.usage.n_cached, finished.n_diverged)


def named(text: str, otherwise: str) -> ModelName:
    """Return the model that ``text`` names.

    Raises:
        InvalidName: It can name none: in Ollama's words, ``otherwise``, with ours as the hint.
    """
    try:
        return ModelName.parse(text)
    except InvalidName as error:
        hint = f"{error.message}; {error.hint}"
        raise InvalidName(otherwise, hint=hint, param="model") from None

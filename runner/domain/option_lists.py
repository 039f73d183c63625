"""The options that are more than a number: lists of texts, the order of samplers, biases."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from runner.errors import InvalidRequest

#: Pairs of a token's id, or a text, and what is added to the logit; ``NEVER`` bans.
LogitBias = tuple[tuple[int | str, float], ...]

#: Every sampler by its letter; names, letters and order are llama.cpp's (``common/sampling.cpp``).
SAMPLERS = {
    "e": "penalties",
    "d": "dry",
    "s": "top_n_sigma",
    "k": "top_k",
    "y": "typ_p",
    "p": "top_p",
    "m": "min_p",
    "x": "xtc",
    "t": "temperature",
    "i": "infill",
    "a": "adaptive_p",
}
#: The order when nothing else is asked for.
DEFAULT_SAMPLERS = tuple(SAMPLERS[letter] for letter in "edskypmxt")
_ALIASES = {
    "typical_p": "typ_p",
    "typical": "typ_p",
    "typ": "typ_p",
    "nucleus": "top_p",
    "temp": "temperature",
}

#: Limits of lists, so that one request cannot slow the steps of all.
MAX_BANNED, MAX_BANNED_BYTES = 64, 256
_MAX_BREAKERS, _MAX_BREAKER_BYTES = 64, 40  # llama.cpp cuts what is longer
_MAX_BIASES = 4096
_MAX_TOKEN_ID = 2**31 - 1
#: The bias of what must not come at all: OpenAI's lowest.
NEVER = -100.0


def parse_texts(name: str, value: Any) -> tuple[str, ...]:
    """Return a string or an array of strings as a tuple; empty ones are left out.

    Raises:
        InvalidRequest: It is neither, or a text is too long or holds what no text can.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise InvalidRequest(f'option "{name}" must be a string or an array of strings', param=name)
    if name == "banned_strings":
        _check_size(name, texts, MAX_BANNED, MAX_BANNED_BYTES)
    if name == "dry_sequence_breakers":
        _check_size(name, texts, _MAX_BREAKERS, _MAX_BREAKER_BYTES)
    return tuple(text for text in texts if text)


def _check_size(name: str, texts: Iterable[str], n_most: int, n_bytes_most: int) -> None:
    sizes = [len(text.encode("utf-8", "replace")) for text in texts]
    if len(sizes) > n_most:
        raise InvalidRequest(f"{name} has {len(sizes)} texts, at most {n_most}", param=name)
    if max(sizes, default=0) > n_bytes_most:
        raise InvalidRequest(
            f"{name} has a text of {max(sizes)} bytes, at most {n_bytes_most}", param=name
        )


def parse_samplers(value: Any) -> tuple[str, ...]:
    """Return samplers in order, by their own names.

    ``value`` is an array of names, one string of names with ``;`` between them, or a string of
    letters.

    Raises:
        InvalidRequest: A name or letter is unknown; the message has it.
    """
    if isinstance(value, str):
        words = value.split(";")
        if any(_sampler(word) for word in words):
            return tuple(_known(word) for word in words if word.strip())
        return tuple(SAMPLERS.get(letter) or _known(letter) for letter in value)
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise InvalidRequest(
            'option "samplers" must be a string or an array of strings', param="samplers"
        )
    if len(value) == 1 and not _sampler(value[0]):
        return parse_samplers(value[0])  # letters, from where only lists can be written
    return tuple(_known(word) for word in value)


def _sampler(word: str) -> str | None:
    """The sampler that ``word`` names in any of the spellings of llama.cpp."""
    plain = word.strip().lower().replace("-", "_")
    name = _ALIASES.get(plain, plain)
    by_letters = {each.replace("_", ""): each for each in SAMPLERS.values()}
    return by_letters.get(name.replace("_", ""))


def _known(word: str) -> str:
    name = _sampler(word)
    if name is None:
        raise InvalidRequest(
            f"samplers: there is no sampler '{word[:40]}'",
            hint=f"the samplers are {', '.join(SAMPLERS.values())}; "
            f"or their letters, {''.join(SAMPLERS)}",
            param="samplers",
        )
    return name


def parse_logit_bias(value: Any, *, low: float, high: float) -> LogitBias:
    """Return pairs of a token's id, or a text, and its bias.

    ``value`` is an object of biases by token id or text, or an array of pairs, or either as JSON
    text.  ``false`` is ``NEVER``.

    Raises:
        InvalidRequest: It is none of these, or a bias is out of range.
    """
    pairs = _pairs(value)
    if len(pairs) > _MAX_BIASES:
        raise InvalidRequest(
            f"logit_bias has {len(pairs)} entries, at most {_MAX_BIASES}", param="logit_bias"
        )
    return tuple((_token(token), _bias(token, bias, low, high)) for token, bias in pairs)


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if isinstance(value, dict):
        return [
            (int(key) if key.isascii() and key.isdigit() and len(key) < 12 else key, bias)
            for key, bias in value.items()
        ]
    is_list = isinstance(value, list | tuple)
    if not is_list or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value):
        raise InvalidRequest(
            'option "logit_bias" must map token ids or texts to numbers',
            hint='write {"15043": 2.5, " Hello": false}',
            param="logit_bias",
        )
    return [tuple(pair) for pair in value]


def _token(token: Any) -> int | str:
    if isinstance(token, str) and token:
        return token
    if isinstance(token, int) and not isinstance(token, bool) and 0 <= token <= _MAX_TOKEN_ID:
        return token
    raise InvalidRequest(
        f"logit_bias: {str(token)[:40]!r} is no token id and no text", param="logit_bias"
    )


def _bias(token: Any, bias: Any, low: float, high: float) -> float:
    if bias is False:
        return NEVER
    if isinstance(bias, bool) or not isinstance(bias, int | float) or not low <= bias <= high:
        raise InvalidRequest(
            f"logit_bias of {str(token)[:40]!r} must be in [{low}, {high}] or false",
            param="logit_bias",
        )
    return float(bias)

"""Texts of settings, to values.

Each raises ``ValueError`` in words for people; where a setting stands is ``config``'s to tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from runner.domain.devices import device_words
from runner.domain.duration import keep_alive_seconds, parse_duration
from runner.domain.load_options import KV_TYPES
from runner.domain.name import ModelName
from runner.domain.options import OPTION_SPECS, Speculate, literal, parse_option
from runner.errors import InvalidName, InvalidRequest

_SWITCH: Mapping[str, bool | None] = {
    **dict.fromkeys(("1", "true", "on", "yes"), True),
    **dict.fromkeys(("0", "false", "off", "no"), False),
    "auto": None,
}


def parse_count(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a whole number from ``low`` to ``high``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"want a whole number, not '{text}'") from None
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}, not {value}")
        return value

    return parse


def parse_stay(text: str) -> float:
    """Return seconds that a model stays; a bare number has that unit, as in Ollama's variable."""
    try:
        return keep_alive_seconds(float(text))
    except ValueError:
        return keep_alive_seconds(text)


def parse_timeout(text: str) -> float:
    """Return seconds; of zero and less, infinitely many."""
    seconds = parse_duration(text)
    return seconds if seconds > 0 else float("inf")


def parse_size(text: str) -> int:
    """Return bytes: a whole number of them, or one of KB, MB, GB or TB (powers of 1024)."""
    found = re.fullmatch(r"(\d{1,15})\s*(?:([kmgt])(?:i?b)?|b)?", text.strip().lower())
    if not found:
        raise ValueError(f"want a size such as 500MB or 4GB, not '{text}'")
    return int(found[1]) << 10 * (" kmgt".index(found[2] or " "))


def parse_flag(text: str) -> bool:
    """Return true or false."""
    value = _SWITCH.get(text.lower())
    if value is None:
        raise ValueError(f"want true or false, not '{text}'")
    return value


def parse_level(text: str) -> str:
    """Return a level of the log."""
    if text.lower() not in ("debug", "info", "warn", "warning", "error"):
        raise ValueError(f"want debug, info, warn or error, not '{text}'")
    return text.lower()


def parse_hub(text: str) -> str:
    """Return the hub that short names come from."""
    if text.lower() not in ("auto", "hf", "modelscope"):
        raise ValueError(f"want auto, hf or modelscope, not '{text}'")
    return text.lower()


def parse_proxy(text: str) -> str:
    """Return the address of a proxy, without what may stand around it."""
    address = (text if "://" in text else f"http://{text}").removesuffix("/")
    problem = ValueError(f"want http://host:port, not '{text[:80]}'")
    try:
        parts = urlsplit(address)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        raise problem from None
    is_plain = address.isprintable() and not (parts.path or parts.query or parts.fragment)
    if parts.scheme != "http" or not is_whole or not is_plain or " " in address:
        raise problem
    return address


def parse_kv_types(text: str) -> tuple[str, str]:
    """Return the types of keys and values: of one for both, or of one for each."""
    keys, _, values = text.strip().lower().partition("/")
    pair = (keys, values or keys)
    for kind in pair:
        if kind not in KV_TYPES:
            raise ValueError(f"'{kind}' is no type of a cache; want one of {', '.join(KV_TYPES)}")
    return pair


def parse_switch(text: str) -> bool | None:
    """Return on or off; ``None`` for ``auto``."""
    value = _SWITCH.get(text.lower(), text)
    if isinstance(value, str):
        raise ValueError(f"want on, off or auto, not '{text}'")
    return value


def parse_guessing(text: str) -> Speculate:
    """Return whether tokens are guessed."""
    value = parse_switch(text)
    return "auto" if value is None else "on" if value else "off"


def parse_names(text: str) -> tuple[str, ...]:
    """Return names of models, each as it would be written elsewhere."""
    try:
        return tuple(str(ModelName.parse(name)) for name in parse_list(text))
    except InvalidName as error:
        raise ValueError(error.message) from None


def parse_model_options(text: str) -> tuple[tuple[str, Any], ...]:
    """Return what ``name=value`` pairs say; a value is a truth or a number where it can be."""
    found: dict[str, Any] = {}
    for pair in text.split():
        name, is_pair, value = pair.partition("=")
        if not is_pair or name not in OPTION_SPECS:
            raise ValueError(f"want options such as num_gpu=20, not '{pair[:60]}'")
        try:
            found[name] = parse_option(name, literal(value))
        except InvalidRequest as error:
            raise ValueError(error.message) from None
    return tuple(found.items())


def parse_list(text: str) -> tuple[str, ...]:
    """Return what stands between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def parse_devices(text: str) -> tuple[str, ...]:
    """Return devices, as ``domain.devices`` has their names."""
    try:
        return device_words(parse_list(text))
    except InvalidRequest as error:
        raise ValueError(error.message) from None

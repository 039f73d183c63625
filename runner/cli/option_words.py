"""Model options as people type them: ``temperature=0.2``, ``/set parameter num_ctx 8192``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from runner.cli.suggest import meant
from runner.domain.options import OPTION_SPECS, Options, literal, parse_option, parse_options
from runner.domain.request import Think
from runner.errors import InvalidRequest

#: What other programs call some of them.
_ELSEWHERE = {
    "temp": "temperature",
    **dict.fromkeys(("max_tokens", "max_new_tokens", "n_predict"), "num_predict"),
    **dict.fromkeys(("ctx", "ctx_size", "n_ctx", "context", "context_length"), "num_ctx"),
    **dict.fromkeys(("gpu", "gpu_layers", "n_gpu_layers", "ngl"), "num_gpu"),
    **dict.fromkeys(("threads", "n_threads"), "num_thread"),
    **dict.fromkeys(("batch_size", "n_batch"), "num_batch"),
    "repetition_penalty": "repeat_penalty",
}


def options_of(pairs: Iterable[tuple[str, str]]) -> Options:
    """Return the options that ``(name, value)`` pairs set; lists of texts take one each time.

    Raises:
        InvalidRequest: An unknown name, or a value of the wrong type or out of range.
    """
    raw: dict[str, Any] = {}
    for name, text in pairs:
        if name in OPTION_SPECS and OPTION_SPECS[name].kind is str:
            raw.setdefault(name, []).append(text)
        else:
            raw[name] = option_value(name, text)
    return parse_options(raw)


def option_value(name: str, text: str) -> Any:
    """Return the value that ``text`` means for option ``name``.

    Raises:
        InvalidRequest: As ``options_of``.
    """
    spec = OPTION_SPECS.get(name)
    if spec is None:
        known = option_named(name)
        near = f"did you mean '{known}'?" if known else meant(name, OPTION_SPECS)
        raise InvalidRequest(
            f"unknown model option '{name}'",
            hint=(f"{near}\n" if near else "") + "all options: corral run --help",
        )
    if spec.kind is str:
        return text
    if spec.kind is dict:
        return parse_option(name, text)
    try:
        return parse_option(name, literal(text))
    except InvalidRequest:
        raise InvalidRequest(f"{name} must be {wanted(name)}, not '{text}'", param=name) from None


def option_named(word: str) -> str:
    """Return the option that goes by ``word`` here or elsewhere, dashes or not; else nothing."""
    name = word.lstrip("-").replace("-", "_").lower()
    return name if name in OPTION_SPECS else _ELSEWHERE.get(name, "")


def wanted(name: str) -> str:
    """Return in words what option ``name`` may be: ``a number from 0 to 100``."""
    spec = OPTION_SPECS[name]
    if name == "keep_alive":
        return "seconds, or a time such as 10m; -1 for ever"
    if spec.kind is str:
        return "a text; may be given several times"
    if spec.kind is dict:
        return 'JSON such as {"15043": 2.5, " Hello": false}'
    if spec.words:
        return f"{', '.join(spec.words[:-1])} or {spec.words[-1]}"
    if spec.kind is bool:
        return "true or false"
    kind = "a whole number" if spec.kind is int else "a number"
    if spec.high >= 2**32:  # more digits than anybody reads
        return f"{kind} of 64 bits" if spec.kind is int else f"{kind} of {spec.low} or more"
    return f"{kind} from {spec.low} to {spec.high}"


def think_word(text: str) -> Think:
    """Return what a word for thinking means.

    Raises:
        ValueError: It is no such word.
    """
    match text.lower():
        case "true" | "false":
            return text.lower() == "true"
        case "low" | "medium" | "high" | "max" as level:
            return level
        case _:
            pass
    raise ValueError(f"want true, false, low, medium, high or max, not '{text}'")


def form_word(text: str) -> str | dict[str, Any]:
    """Return what a word for the form of answers means: ``json``, or a JSON schema.

    Raises:
        ValueError: It is neither.
    """
    if text.strip().lower() == "json":
        return "json"
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        schema = None
    if isinstance(schema, dict):
        return schema
    shown = text if len(text) <= 40 else f"{text[:40]}..."
    raise ValueError(f'want json or a JSON schema such as {{"type": "object"}}, not \'{shown}\'')

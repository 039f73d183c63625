"""Model options as people type them: ``temperature=0.2``, ``/set parameter num_ctx 8192``."""

from __future__ import annotations

from collections.abc import Iterable

from runner.cli.suggest import meant
from runner.domain.options import OPTION_SPECS, Options, parse_option, parse_options
from runner.errors import InvalidRequest


def options_of(pairs: Iterable[tuple[str, str]]) -> Options:
    """Return the options that ``(name, value)`` pairs set; ``stop`` may come several times.

    Raises:
        InvalidRequest: An unknown name, or a value of the wrong type or out of range.
    """
    raw: dict[str, object] = {}
    stops: list[str] = []
    for name, text in pairs:
        if name == "stop":
            stops.append(text)
        else:
            raw[name] = option_value(name, text)
    return parse_options({**raw, "stop": stops or None})


def option_value(name: str, text: str) -> int | float | bool | str:
    """Return the value that ``text`` means for option ``name``.

    Raises:
        InvalidRequest: As ``options_of``.
    """
    spec = OPTION_SPECS.get(name)
    if spec is None:
        near = meant(name, OPTION_SPECS)
        raise InvalidRequest(
            f"unknown model option '{name}'",
            hint=(f"{near}\n" if near else "") + "all options: corral run --help",
        )
    if spec.kind is str:
        return text
    try:
        return parse_option(name, _literal(text))
    except InvalidRequest:
        raise InvalidRequest(f"{name} must be {wanted(name)}, not '{text}'", param=name) from None


def wanted(name: str) -> str:
    """Return in words what option ``name`` may be: ``a number from 0 to 100``."""
    spec = OPTION_SPECS[name]
    if spec.kind is str:
        return "a text; may be given several times"
    if spec.kind is bool:
        return "true or false"
    kind = "a whole number" if spec.kind is int else "a number"
    if spec.high >= 2**32:  # more digits than anybody reads
        return f"{kind} of 64 bits"
    return f"{kind} from {spec.low} to {spec.high}"


def _literal(text: str) -> object:
    """A number or truth value, or else the text itself, which ``parse_option`` then refuses."""
    word = text.strip().lower()
    if word in ("true", "false"):
        return word == "true"
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return text

"""Model options as people type them: ``temperature=0.2``, ``/set parameter num_ctx 8192``."""

from __future__ import annotations

from collections.abc import Iterable

from runner.cli.suggest import nearest
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
        near = nearest(name, OPTION_SPECS)
        raise InvalidRequest(
            f"unknown option '{name}'",
            hint=f"did you mean '{near}'?" if near else f"options: {', '.join(OPTION_SPECS)}",
        )
    if spec.kind is str:
        return text
    return parse_option(name, _literal(text))


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

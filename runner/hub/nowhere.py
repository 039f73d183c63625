"""The error when none of several places could give a model: each with its own reason."""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.name import ModelName
from runner.errors import CorralError, SourceError


def nowhere(what: str, failures: Sequence[tuple[ModelName, CorralError]]) -> CorralError:
    """Return the error to raise; that of a single place is its own.

    It has the kind that all failures share, so that a model which no hub has is still ``NotOnHub``.

    Args:
        what: The model as it was asked for.
        failures: The places that were asked, at least one, and what each said.
    """
    errors = [error for _, error in failures]
    if len(errors) == 1:
        return errors[0]
    kinds = {type(error) for error in errors}
    kind = kinds.pop() if len(kinds) == 1 else SourceError
    if not issubclass(kind, SourceError):
        kind = SourceError
    reasons = "; ".join(_reason(place, error) for place, error in failures)
    hints = dict.fromkeys(error.hint for error in errors if error.hint)
    return kind(f"none of {len(errors)} places has {what}: {reasons}", hint="; ".join(hints))


def _reason(place: ModelName, error: CorralError) -> str:
    """Return what a place said; most errors name their hub themselves."""
    return error.message if place.host in error.message else f"{place.host}: {error.message}"

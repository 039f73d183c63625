"""What somebody meant who wrote a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable

from runner.client.client import Client
from runner.errors import CorralError


def nearest(word: str, words: Iterable[str]) -> str:
    """Return the one of ``words`` that was probably meant, or an empty string."""
    import difflib

    return next(iter(difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)), "")


def meant(word: str, words: Iterable[str]) -> str:
    """Return the question whether one of the nearest ``words`` was meant, or an empty string."""
    import difflib

    near = [f"'{name}'" for name in difflib.get_close_matches(word, list(words), n=3, cutoff=0.6)]
    return f"did you mean {' or '.join(near)}?" if near else ""


def suggest_model(error: CorralError, client: Client, wanted: str = "") -> None:
    """Put the library's nearest name, if there is one, first in the hint of ``error``.

    ``wanted`` is what was asked for, where the error itself does not say.
    """
    wanted = (wanted or getattr(error, "name", "")).lower()
    try:
        names = [model.name for model in client.list_models()] if wanted else []
    except CorralError:
        return
    # The model's own part alone counts too: most names on a hub begin with long ones of others.
    spellings = {name.model.lower(): str(name) for name in names}
    spellings |= {str(name).lower(): str(name) for name in names}
    if near := spellings.get(nearest(wanted, spellings)):
        error.hint = f"did you mean '{near}'?" + (f"\n{error.hint}" if error.hint else "")

"""The API keys as a table: who holds one, what it opens, and when it was last used."""

from __future__ import annotations

import time

from gui import figures
from gui.models.table import Column, Table
from gui.words import tr
from runner.domain.key import Key, Scope

#: What a key opens, from the least to the most; English.
SCOPES: tuple[tuple[Scope, str], ...] = (
    (Scope.INFER, "Answers only"),
    (Scope.MANAGE, "Answers and the library"),
    (Scope.ADMIN, "Everything"),
)


def key_table() -> Table[Key]:
    """Return an empty table of keys."""
    columns: tuple[Column[Key], ...] = (
        Column("Name", lambda k: k.name, tip=lambda k: k.id),
        Column("Opens", lambda k: tr(opens(k))),
        Column("Models", lambda k: ", ".join(k.models) or tr("All")),
        Column(
            "Requests a minute",
            lambda k: figures.grouped(k.n_per_minute) if k.n_per_minute else tr("no limit"),
            lambda k: k.n_per_minute,
            is_number=True,
        ),
        Column("Last used", lambda k: figures.ago(k.used_at or 0, time.time()), _used),
        Column("Ends", _end, lambda k: k.expires_at or float("inf")),
    )
    return Table[Key](columns, key=lambda key: key.id)


def opens(key: Key) -> str:
    """Return in English how much a key opens."""
    most = [words for scope, words in SCOPES if scope in key.scopes]
    return most[-1] if most else SCOPES[0][1]


def _used(key: Key) -> float:
    return -(key.used_at or 0)


def _end(key: Key) -> str:
    if key.expires_at is None:
        return tr("never")
    seconds = key.expires_at - time.time()
    return figures.left(seconds) if seconds > 0 else tr("has ended")

"""API keys: who holds one, and what it opens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from runner.domain.name import ModelName
from runner.errors import InvalidName


class Scope(StrEnum):
    """What a key opens."""

    INFER = "infer"  # answers, vectors, and what it takes to choose a model
    MANAGE = "manage"  # the library, the memory, downloads, other clients' requests
    ADMIN = "admin"  # everything but paths of this machine: settings, secrets and keys too


@dataclass(frozen=True, slots=True)
class Key:
    """One key; the secret itself is shown once and kept nowhere.

    Attributes:
        id: Names it in lists, logs and caches; no secret.
        name: What its holder is called.
        scopes: What it opens.
        models: The models it may name, ``*`` standing for any text; empty: all.
        n_per_minute: Requests it may make in a minute; 0: any number.
        created_at: Seconds since the epoch, like the next two.
        expires_at: ``None``: never.
        used_at: When it was last used; ``None``: not yet.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    models: tuple[str, ...] = ()
    n_per_minute: int = 0
    created_at: float = 0.0
    expires_at: float | None = None
    used_at: float | None = None

    def opens(self, scope: Scope) -> bool:
        """Whether it may do what ``scope`` is for."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def allows_model(self, name: ModelName) -> bool:
        """Whether it may name this model."""
        return not self.models or any(_matches(pattern, name) for pattern in self.models)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be made; the fields are those of ``Key``."""

    name: str
    scopes: frozenset[Scope] = frozenset({Scope.INFER})
    models: tuple[str, ...] = ()
    n_per_minute: int = 0
    expires_at: float | None = None


def _matches(pattern: str, name: ModelName) -> bool:
    if "*" in pattern:
        # Only ``*`` is special: brackets and question marks stand in no name.
        return fnmatchcase(str(name).lower(), pattern.lower().replace("[", "[[]"))
    try:
        return ModelName.parse(pattern) == name
    except InvalidName:
        return False

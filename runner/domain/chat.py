"""A conversation, as every dialect and every template sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One turn.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or ``tool``; templates know others too, so any
            lower-case word is passed on.
        content: The text, never parsed for control tokens (see ``engine/prepare.py``).
    """

    role: str
    content: str

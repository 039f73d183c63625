"""What travels with a request between middleware and handlers, and the rules of the door."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from runner.domain.key import Key
from runner.server.access import Access


@dataclass(slots=True)
class Door:
    """The rules in force; another ``access`` takes their place while the daemon serves."""

    access: Access


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request.

    Attributes:
        is_owner: Whether it carries the owner's token.
        key: The key it carries; ``None``: none of ours.
    """

    is_owner: bool = False
    key: Key | None = None

    @property
    def owner_id(self) -> str:
        """Whose prompts are shared with this caller's: empty for the user of this machine."""
        return self.key.id if self.key else ""


DOOR = web.AppKey("door", Door)
CALLER = web.RequestKey("caller", Caller)
#: The page that called, when one did and may.
ORIGIN = web.RequestKey("origin", str)


def caller_of(request: web.Request) -> Caller:
    """Return who sent ``request``; nobody in particular before that is known."""
    return request.get(CALLER) or Caller()

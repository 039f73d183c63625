"""On what terms a request is taken: fields that every dialect's body may have, all our own."""

from __future__ import annotations

from typing import Any

from runner.domain.request import CacheUse, Priority, Terms
from runner.errors import InvalidRequest

#: Longest name of a conversation, in characters.
MAX_CONVERSATION = 200


def parse_terms(
    priority: str | None,
    deadline_s: float | None,
    *,
    is_deterministic: bool = False,
    cache: Any = None,
    conversation: str | None = None,
) -> Terms:
    """Return the terms that a body sets; what it leaves out keeps its default.

    Raises:
        InvalidRequest: A value is out of range; ``param`` names the field.
    """
    if deadline_s is not None and deadline_s <= 0:
        raise InvalidRequest(
            f"deadline_s must be greater than 0, not {deadline_s:g}",
            hint="it is the number of seconds that the answer may take in all",
            param="deadline_s",
        )
    if conversation is not None and not 0 < len(conversation) <= MAX_CONVERSATION:
        raise InvalidRequest(
            f"conversation must have 1 to {MAX_CONVERSATION} characters, not {len(conversation)}",
            hint="it is a name of your own, for DELETE /api/cache",
            param="conversation",
        )
    found = Priority.API if priority is None else parse_priority(priority, "priority")
    return Terms(
        priority=found,
        deadline_s=deadline_s,
        cache=parse_cache(cache),
        is_deterministic=is_deterministic,
        conversation_id=conversation or "",
    )


def parse_cache(value: Any) -> CacheUse:
    """Return what a request's field ``cache`` says; absent, all tiers may be used.

    Raises:
        InvalidRequest: It is not one of the words.
    """
    if value is None:
        return CacheUse.DISK
    words = [use.value for use in CacheUse]
    if not isinstance(value, str) or value not in words:
        raise InvalidRequest(f"cache must be one of {', '.join(words)}", param="cache")
    return CacheUse(value)


def parse_priority(text: str, field: str) -> Priority:
    """Return the class that ``text`` names.

    Raises:
        InvalidRequest: There is none; the message names ``field``.
    """
    try:
        return Priority(text.lower())
    except ValueError:
        words = ", ".join(Priority)
        raise InvalidRequest(
            f"{field} must be one of {words}, not '{text[:40]}'",
            hint=f"one of: {words}",
            param=field,
        ) from None

"""One thing that ``corral doctor`` looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"  # works, and could be better
    FAIL = "fail"  # something will not work


@dataclass(frozen=True, slots=True)
class Check:
    """What was found.

    Attributes:
        name: What was looked at: ``engine``, ``devices``, ``memory`` ...
        state: How it is.
        message: What was found, for people.
        fix: What to do about it; empty when nothing is to be done.
    """

    name: str
    state: State
    message: str
    fix: str = ""

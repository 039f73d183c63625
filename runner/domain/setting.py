"""One setting as it is now: its value, and where that comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SettingState:
    """One line of the settings.

    Attributes:
        name: As it stands in ``config.toml``.
        value: As a user writes it.
        default: Likewise.
        source: Who says so.
        variable: The environment variable that has it, or could have.
        help: What it does.
        is_live: Whether a change takes effect at once; else when the daemon starts again.
        is_pending: Whether the daemon still runs with another value.
    """

    name: str
    value: str
    default: str
    source: Literal["environment", "file", "default"]
    variable: str
    help: str
    is_live: bool
    is_pending: bool

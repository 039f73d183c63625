"""What is kept of prompts, and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Hit(StrEnum):
    """Where the beginning of a prompt came from that was not computed."""

    NONE = "none"  # all of it was computed
    CONTEXT = "context"  # the cells of another sequence, running or ended
    MEMORY = "memory"
    DISK = "disk"


class CacheTier(StrEnum):
    """Where the state of a prompt is kept once it has left the context."""

    MEMORY = "memory"
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class CachedPrompt:
    """One prompt's state.

    Attributes:
        model: The model's name; empty when the library does not have it any more.
        digest: Of its weights.
        owner_id: Whose prompt it is; empty: the user of this machine.
        tier: Where it is.
        n_tokens: Tokens it stands for.
        n_bytes: Room it takes.
        created_s: When it was saved, in seconds since the epoch.
        used_s: When it was last used, in seconds since the epoch.
    """

    model: str
    digest: str
    owner_id: str
    tier: CacheTier
    n_tokens: int
    n_bytes: int
    created_s: float
    used_s: float


@dataclass(frozen=True, slots=True)
class CacheReport:
    """All of it.

    Attributes:
        prompts: Those that have left the context, the last used first.
        n_resident_tokens: Tokens in the contexts of the models in memory.
        n_memory_bytes: Memory that kept prompts take in all workers.
        n_disk_bytes: Disk that kept prompts take.
        n_disk_max: What they may take of it; 0: nothing is kept there.
    """

    prompts: tuple[CachedPrompt, ...] = field(default_factory=tuple)
    n_resident_tokens: int = 0
    n_memory_bytes: int = 0
    n_disk_bytes: int = 0
    n_disk_max: int = 0


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was removed: prompts and their bytes, memory and disk together."""

    n_prompts: int
    n_bytes: int

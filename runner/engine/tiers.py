"""KV state that left the cache for host memory, and who goes first.

An entry is one sequence's state as llama.cpp serializes it, with the tokens it stands for.  It
serves every prompt of its owner that begins like it: what differs is cut off after it is restored.
The least recently used go when the memory is used up.

Pure bookkeeping around opaque bytes; called from the loop thread only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from runner.kv.packed import n_common


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """One sequence's state.

    Attributes:
        tokens: What it stands for, from position 0 on; packed.
        blob: The state as llama.cpp gave it.
        owner_id: Whose prompt it is.
        may_go_to_disk: Whether it may be kept there, too.
        conversation_id: What the caller calls the conversation it is of; empty: nothing.
        created_s: When it was saved, in seconds since the epoch.
    """

    tokens: bytes
    blob: bytes
    owner_id: str
    may_go_to_disk: bool = False
    conversation_id: str = ""
    created_s: float = field(default_factory=time.time)


class HostTier:
    """Saved states, within ``n_bytes_max``."""

    def __init__(self, n_bytes_max: int) -> None:
        self.n_bytes_max = n_bytes_max
        self._entries: list[Saved] = []  # least recently used first
        self._used_s: dict[Saved, float] = {}
        self.n_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Saved]:
        """Return the entries, the last used first."""
        return iter(self._entries[::-1])

    def used_s(self, entry: Saved) -> float:
        """Return when ``entry`` was last used, in seconds since the epoch."""
        return self._used_s[entry]

    def match(self, tokens: bytes, owner_id: str) -> tuple[Saved, int] | None:
        """Return the owner's entry that begins most like ``tokens``, and how many they share."""
        best, n_best = None, 0
        for entry in self._entries:
            if entry.owner_id == owner_id:
                n = n_common(entry.tokens, tokens)
                if n > n_best:
                    best, n_best = entry, n
        return (best, n_best) if best else None

    def touch(self, entry: Saved) -> None:
        """``entry`` was used: it goes last."""
        self._entries.remove(entry)
        self._entries.append(entry)
        self._used_s[entry] = time.time()

    def find(self, tokens: bytes, owner_id: str) -> Saved | None:
        """Return the owner's entry that begins with all of ``tokens``; it counts as used."""
        for entry in self._entries:
            if entry.owner_id == owner_id and entry.tokens.startswith(tokens):
                self.touch(entry)
                return entry
        return None

    def add(self, entry: Saved) -> list[Saved]:
        """Keep ``entry`` and return whom that drives out, for want of room.

        Those of its owner whose whole text it begins with are of no more use, and just go.  One
        larger than all the room is not kept.
        """
        if len(entry.blob) > self.n_bytes_max:
            return []
        for old in list(self._entries):
            if old.owner_id == entry.owner_id and entry.tokens.startswith(old.tokens):
                self.remove(old)
        driven_out: list[Saved] = []
        while self.n_bytes + len(entry.blob) > self.n_bytes_max:
            driven_out.append(self._entries[0])
            self.remove(self._entries[0])
        self._entries.append(entry)
        self._used_s[entry] = time.time()
        self.n_bytes += len(entry.blob)
        return driven_out

    def remove(self, entry: Saved) -> None:
        """Forget ``entry``."""
        self._entries.remove(entry)
        del self._used_s[entry]
        self.n_bytes -= len(entry.blob)

    def clear(self, owner_id: str | None = None, conversation_id: str | None = None) -> None:
        """Forget one owner's entries, one conversation's, or all."""
        for entry in list(self._entries):
            is_its = conversation_id in (None, entry.conversation_id)
            if is_its and owner_id in (None, entry.owner_id):
                self.remove(entry)

"""KV state that left the cache for host memory, and who goes first.

An entry is one sequence's state as llama.cpp serializes it, with the tokens it stands for.  It
serves every prompt that begins like it: what differs is cut off after it is restored.  The least
recently used go when the memory is used up.

Pure bookkeeping around opaque bytes; called from the loop thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runner.engine.prefix import n_common


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """One sequence's state: ``blob`` as llama.cpp gave it, for ``tokens`` from position 0 on."""

    tokens: tuple[int, ...]
    blob: bytes


class HostTier:
    """Saved states, within ``n_bytes_max``."""

    def __init__(self, n_bytes_max: int) -> None:
        self._n_bytes_max = n_bytes_max
        self._entries: list[Saved] = []  # least recently used first
        self.n_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def match(self, tokens: Sequence[int]) -> tuple[Saved, int] | None:
        """Return the entry that begins most like ``tokens``, and how many tokens they share."""
        best, n_best = None, 0
        for entry in self._entries:
            n = n_common(entry.tokens, tokens)
            if n > n_best:
                best, n_best = entry, n
        return (best, n_best) if best else None

    def touch(self, entry: Saved) -> None:
        """``entry`` was used: it goes last."""
        self._entries.remove(entry)
        self._entries.append(entry)

    def has(self, tokens: Sequence[int]) -> bool:
        """Whether an entry begins with all of ``tokens``; it counts as used."""
        for entry in self._entries:
            if n_common(entry.tokens, tokens) == len(tokens):
                self.touch(entry)
                return True
        return False

    def add(self, entry: Saved) -> None:
        """Keep ``entry``; those whose whole text it begins with are of no more use."""
        if len(entry.blob) > self._n_bytes_max:
            return
        for old in list(self._entries):
            if n_common(old.tokens, entry.tokens) == len(old.tokens):
                self._remove(old)
        while self.n_bytes + len(entry.blob) > self._n_bytes_max:
            self._remove(self._entries[0])
        self._entries.append(entry)
        self.n_bytes += len(entry.blob)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.n_bytes = 0

    def _remove(self, entry: Saved) -> None:
        self._entries.remove(entry)
        self.n_bytes -= len(entry.blob)

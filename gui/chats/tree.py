"""A conversation as a tree: editing a turn or asking again opens a branch and loses nothing.

Pure: turns and their order; where they are kept is ``storage.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn.

    Attributes:
        id: Unique in its chat; grows with time.
        parent_id: The turn it follows; 0: it opens the chat.
        role: ``user`` or ``assistant``.
        text: What was said.
        thinking: What the model thought before.
        model: Who answered; empty for the user's turns.
        figures: Of an answer: tokens, seconds, why it ended.
        is_whole: Whether it came to its end; not when it was stopped, or the app was.
        created_s: Seconds since the epoch.
        images: Pictures that came with it, as their files are.
    """

    id: int
    parent_id: int
    role: str
    text: str
    thinking: str = ""
    model: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    is_whole: bool = True
    created_s: float = 0.0
    images: tuple[bytes, ...] = ()


class Tree:
    """All turns of one chat, and which branch is in sight."""

    def __init__(self, turns: Iterable[Turn] = (), leaf_id: int = 0) -> None:
        self._turns: dict[int, Turn] = {}
        self._children: dict[int, list[int]] = {}
        for turn in sorted(turns, key=lambda turn: turn.id):
            self.put(turn)
        self.leaf_id = leaf_id if leaf_id in self._turns else self._last_below(0)

    def __len__(self) -> int:
        return len(self._turns)

    def __getitem__(self, turn_id: int) -> Turn:
        return self._turns[turn_id]

    def put(self, turn: Turn) -> None:
        """Add a turn, or replace the one with its id."""
        if turn.id not in self._turns:
            self._children.setdefault(turn.parent_id, []).append(turn.id)
        self._turns[turn.id] = turn

    def turns(self) -> list[Turn]:
        """Return all turns, all branches, oldest first."""
        return sorted(self._turns.values(), key=lambda turn: turn.id)

    def path(self) -> list[Turn]:
        """Return the turns in sight, the first one first."""
        return self.path_to(self.leaf_id)

    def path_to(self, turn_id: int) -> list[Turn]:
        """Return the turns that lead to one, itself included."""
        found = []
        while turn_id:
            turn = self._turns[turn_id]
            found.append(turn)
            turn_id = turn.parent_id
        return found[::-1]

    def branch(self, turn_id: int) -> tuple[int, int]:
        """Return which of how many versions a turn is, counted from 1."""
        siblings = self._children[self._turns[turn_id].parent_id]
        return siblings.index(turn_id) + 1, len(siblings)

    def step(self, turn_id: int, by: int) -> bool:
        """Show the version ``by`` places from a turn's; returns whether there is one."""
        siblings = self._children[self._turns[turn_id].parent_id]
        index = siblings.index(turn_id) + by
        if not 0 <= index < len(siblings):
            return False
        self.leaf_id = self._last_below(siblings[index])
        return True

    def next_id(self) -> int:
        """Return an id for a new turn."""
        return max(self._turns, default=0) + 1

    def _last_below(self, turn_id: int) -> int:
        """The end of the newest branch below a turn."""
        while children := self._children.get(turn_id):
            turn_id = children[-1]
        return turn_id

"""What the scheduler decides: who begins, what a step computes, what that does to the cache.

Data only; ``loop.py`` does it.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.domain.request import CacheUse
from runner.engine.chunks import Chunk
from runner.engine.pictures import Picture
from runner.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Free:
    """Free all cells of ``seq_id``; when ``tokens`` is not empty they are worth saving first.

    Whose they are, and where they may be saved, is for these alone.
    """

    seq_id: int
    tokens: tuple[int, ...] = ()
    owner_id: str = ""
    cache: CacheUse = CacheUse.NONE
    conversation_id: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """Let ``target`` see the cells of ``source`` at the first ``n`` positions."""

    source: int
    target: int
    n: int


@dataclass(frozen=True, slots=True)
class Park:
    """Save all cells of ``seq_id``, which are those of ``seq``, for its return; then free them."""

    seq_id: int
    seq: Sequence
    n: int


#: What is to be done to the cache.
Effect = Free | Share | Park


@dataclass(slots=True)
class Admission:
    """The sequences that begin, or begin again, and what to do to the cache for it, in order."""

    effects: list[Effect]
    admitted: list[Sequence]


@dataclass(slots=True)
class Plan:
    """One step: what to do to the cache, in order, then what to compute.

    Attributes:
        is_usual: Whether it is the token drawn last of every stream, and nothing else.
        picture: What its only chunk stands for; ``None``: chunks are of tokens.
    """

    effects: list[Effect]
    chunks: list[Chunk]
    is_usual: bool = False
    picture: Picture | None = None

    @property
    def n_tokens(self) -> int:
        """How many it computes, guessed ones included."""
        return len(self.chunks) if self.is_usual else sum(chunk.n for chunk in self.chunks)

    @property
    def has_prompt(self) -> bool:
        """Whether tokens beyond what came last of some stream are in it."""
        if self.is_usual or self.picture:
            return False
        return sum(chunk.n_sure for chunk in self.chunks) > len(self.chunks)

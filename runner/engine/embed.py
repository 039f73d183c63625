"""Which inputs the next embedding step computes, and what becomes of their vectors.

A class goes before the next one, but for an input that is half done.  Within a class requests take
turns, one input each, so that one of thousands of inputs does not keep a small one waiting.  An
encoder sees a text as a whole, so its inputs are never cut; of a causal model an input may be
computed in pieces, at most one being half done at any time.

Pure: no ctypes, no clock; ``vectors.py`` owns one queue and calls it from the loop thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from runner.domain.vectors import Pooling

Vectors = npt.NDArray[np.float32]


@dataclass(slots=True, eq=False)
class Item:
    """One input of a request.

    Attributes:
        tokens: What is computed; at least one.
        index: Its place in the request.
        seq_id: Its llama.cpp sequence while it is computed, else -1.
        n_computed: Tokens done.
        pooled: The sum, or the vectors, of the tokens done; ``None`` before the first.
    """

    tokens: list[int]
    index: int
    seq_id: int = -1
    n_computed: int = 0
    pooled: Vectors | None = None

    @property
    def n_pending(self) -> int:
        """Tokens that are not computed yet."""
        return len(self.tokens) - self.n_computed


@dataclass(slots=True, eq=False)
class Job:
    """One request.

    Attributes:
        request_id: The daemon's name for it.
        waiting: Inputs of which nothing is computed yet, in order.
        n_items: How many inputs it has in all.
        pooling: How tokens' vectors become an input's.
        n_dimensions: Numbers to keep of a vector; ``None``: all.
        normalizes: Whether vectors are scaled to length 1.
        truncated: Inputs that were cut, by index.
        rank: Its class as a number, 0 goes first.
        vectors: What is done, by index.
        n_tokens: Tokens of each input.
        started_s: When its first step began, on the loop's clock; 0 before.
    """

    request_id: str
    waiting: deque[Item]
    pooling: Pooling
    n_dimensions: int | None = None
    normalizes: bool = True
    truncated: tuple[int, ...] = ()
    rank: int = 0
    vectors: dict[int, Vectors] = field(default_factory=dict)
    n_items: int = field(init=False)
    n_tokens: tuple[int, ...] = field(init=False)
    started_s: float = 0.0

    def __post_init__(self) -> None:
        self.n_items = len(self.waiting)
        self.n_tokens = tuple(len(item.tokens) for item in self.waiting)

    @property
    def is_done(self) -> bool:
        """Whether every input has its vector."""
        return len(self.vectors) == self.n_items


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive tokens of one input in one step; ``start`` is also the first one's position."""

    job: Job
    item: Item
    start: int
    n: int


class EmbedQueue:
    """Requests whose vectors are wanted, within ``n_batch`` tokens and ``n_seq_max`` a step."""

    def __init__(self, *, n_batch: int, n_seq_max: int, can_split: bool) -> None:
        """Take the limits.

        Args:
            n_batch: Most tokens of a step; no input is longer unless it can be split.
            n_seq_max: Most inputs of a step.
            can_split: Whether an input may be computed in pieces.
        """
        self._n_batch = n_batch
        self._n_seq_max = n_seq_max
        self._can_split = can_split
        self._jobs: deque[Job] = deque()
        self._begun: tuple[Job, Item] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to compute."""
        return not self._jobs and self._begun is None

    @property
    def jobs(self) -> list[Job]:
        """The requests that are not done, whose turn is next first."""
        begun = [self._begun[0]] if self._begun else []
        return list(dict.fromkeys([*begun, *self._jobs]))

    def add(self, job: Job) -> None:
        """Queue a request, after those of its class and of higher ones."""
        place = sum(other.rank <= job.rank for other in self._jobs)
        self._jobs.insert(place, job)

    def remove(self, request_id: str) -> tuple[Job, int] | None:
        """Forget a request.

        Returns:
            It, and the ``seq_id`` it had begun, or -1; ``None`` for one that is not here.
        """
        begun = self._begun
        for job in self.jobs:
            if job.request_id != request_id:
                continue
            if job in self._jobs:
                self._jobs.remove(job)
            if begun and begun[0] is job:
                self._begun = None
                return job, begun[1].seq_id
            return job, -1
        return None

    def step(self, n_max: int) -> list[Piece]:
        """Return the next step, at most ``n_max`` tokens where inputs allow it.

        An input that cannot be split and is longer is a step of its own.
        """
        n_left = min(max(1, n_max), self._n_batch)
        pieces: list[Piece] = []
        if self._begun:
            job, item = self._begun
            pieces.append(Piece(job, item, item.n_computed, min(item.n_pending, n_left)))
            n_left -= pieces[0].n
            self._begun = None
        ids = self._free_ids(pieces)
        while self._jobs and n_left > 0 and len(pieces) < self._n_seq_max:
            job = self._jobs[0]
            n = len(job.waiting[0].tokens)
            if n > n_left:
                if self._can_split:
                    n = n_left
                elif pieces:
                    break
            self._jobs.popleft()
            item = job.waiting.popleft()
            if job.waiting:
                self.add(job)
            item.seq_id = next(ids)
            pieces.append(Piece(job, item, 0, n))
            n_left -= n
        if pieces and pieces[-1].n < pieces[-1].item.n_pending:
            self._begun = pieces[-1].job, pieces[-1].item
        return pieces

    def commit(self, pieces: list[Piece], rows: list[Vectors]) -> list[Item]:
        """Record a computed step; return the inputs that are done, whose cells can go."""
        done = []
        for piece, vectors in zip(pieces, rows, strict=True):
            job, item = piece.job, piece.item
            item.n_computed += piece.n
            item.pooled = pool(job.pooling, item.pooled, vectors)
            if item.n_pending == 0:
                job.vectors[item.index] = finish(job, item)
                item.pooled = None
                done.append(item)
        return done

    @staticmethod
    def _free_ids(pieces: list[Piece]) -> Iterator[int]:
        """Yield ids from 0 on that none of ``pieces`` has."""
        taken = {piece.item.seq_id for piece in pieces}
        seq_id = 0
        while True:
            if seq_id not in taken:
                yield seq_id
            seq_id += 1


def pool(pooling: Pooling, before: Vectors | None, vectors: Vectors) -> Vectors:
    """Return what the tokens so far come to, ``(n, width)``; ``n`` is 1 but for ``none``."""
    match pooling:
        case Pooling.MEAN:
            total: Vectors = vectors.sum(axis=0, keepdims=True, dtype=np.float32)
            return total if before is None else before + total
        case Pooling.CLS:
            return vectors[:1].copy() if before is None else before
        case Pooling.LAST | Pooling.RANK:
            return vectors[-1:].copy()
        case Pooling.NONE:
            return vectors.copy() if before is None else np.concatenate([before, vectors])


def finish(job: Job, item: Item) -> Vectors:
    """Return an input's vectors as the request wants them: averaged, cut, scaled to length 1."""
    assert item.pooled is not None
    vectors = item.pooled
    if job.pooling is Pooling.RANK:
        return vectors
    if job.pooling is Pooling.MEAN:
        vectors = vectors / np.float32(len(item.tokens))
    if job.n_dimensions is not None:
        vectors = vectors[:, : job.n_dimensions]
    return normalized(vectors) if job.normalizes else vectors


def normalized(vectors: Vectors) -> Vectors:
    """Return each row scaled to length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    scaled: Vectors = (vectors / lengths).astype(np.float32)
    return scaled

"""What embedding and reranking answer, whatever the dialect."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runner.domain.event import Timings


class Pooling(StrEnum):
    """How the vectors of an input's tokens become its own."""

    NONE = "none"  # they do not: one vector for each token
    MEAN = "mean"
    CLS = "cls"  # the first token's
    LAST = "last"  # the last token's
    RANK = "rank"  # a cross-encoder's head makes them a score


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of one request.

    Attributes:
        vectors: One item an input, in order: float32, little-endian, one vector after the other.
            Only pooling ``none`` gives more than one.
        n_dimensions: Numbers in a vector.
        n_tokens: Tokens computed for each input.
        truncated: Inputs that were cut to the context, by their index.
        timings: Seconds; nothing is drawn, so ``decode_s`` is 0.
        is_pooled: Whether each item is one vector.
    """

    vectors: tuple[bytes, ...]
    n_dimensions: int
    n_tokens: tuple[int, ...]
    truncated: tuple[int, ...]
    timings: Timings
    is_pooled: bool = True


@dataclass(frozen=True, slots=True)
class Ranking:
    """The scores of one request.

    Attributes:
        scores: One a document, in order; the model's own, higher is better.
        n_tokens: Tokens computed for each pair of query and document.
        truncated: Documents that were cut to the context, by their index.
        timings: As in ``Embeddings``.
    """

    scores: tuple[float, ...]
    n_tokens: tuple[int, ...]
    truncated: tuple[int, ...]
    timings: Timings

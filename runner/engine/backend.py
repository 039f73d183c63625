"""What loop and preparation need from llama.cpp; ``llama/backend.py`` is the real one."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from runner.domain.options import SamplingParams
from runner.domain.request import Constraint
from runner.domain.vectors import Pooling
from runner.engine.chunks import Chunk
from runner.engine.embed import Piece
from runner.engine.pictures import Picture, Seen
from runner.engine.rules import Bound
from runner.engine.sequence import Sampler


class NoSlot(Exception):
    """The cache has no room for this step; nothing was computed."""


class DecodeFailed(Exception):
    """The step could not be computed, and what the cache holds is unknown."""


class NoMemory(DecodeFailed):
    """The step could not be computed, since it found no memory."""


#: What ``llama_decode`` returns where ggml could not allocate: ``src/llama-context.cpp``.
NO_MEMORY = -2


def decode_failed(code: int, what: str) -> DecodeFailed:
    """Return the error of ``llama_decode`` that returned ``code`` for ``what``."""
    kind = NoMemory if code == NO_MEMORY else DecodeFailed
    return kind(f"llama_decode returned {code} for {what}")


@dataclass(frozen=True, slots=True)
class Frame:
    """Tokens that the model wants around a text, and between the two of a pair."""

    opening: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    closing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbeddingFacts:
    """How a model embeds.

    Attributes:
        pooling: As its file says; ``last``, or ``mean`` of an encoder, when it does not say.
        n_dimensions: Numbers in a token's vector.
        is_causal: Whether a token sees only those before it, so that a text can be computed in
            pieces.
    """

    pooling: Pooling
    n_dimensions: int
    is_causal: bool


class Embedder(Protocol):
    """Computes vectors beside the running sequences; called from the loop thread only.

    Attributes:
        n_batch: Most tokens of a step, and of an input that cannot be computed in pieces.
        n_step: Tokens of a step beyond which it does not get cheaper by the token.
        n_seq_max: Inputs of a step.
    """

    n_batch: int
    n_step: int
    n_seq_max: int

    def compute(self, pieces: Seq[Piece]) -> list[npt.NDArray[np.float32]]:
        """Compute a step; return the vectors of each piece's tokens, ``(n, n_dimensions)``.

        Of a model that ranks: the scores of each piece, ``(1, n_scores)``.

        Raises:
            DecodeFailed: Nothing of the step was kept; ``clear`` before going on.
        """
        ...

    def free(self, seq_id: int) -> None:
        """Forget an input."""
        ...

    def clear(self) -> None:
        """Forget all inputs."""
        ...


@dataclass(frozen=True, slots=True)
class Infill:
    """The tokens before the text that precedes a gap, before that after it, and at the gap."""

    prefix: int
    suffix: int
    middle: int


class Vocabulary(Protocol):
    """Text ⇄ tokens; safe from any thread."""

    bos_text: str
    eos_text: str
    template: str  # the model's chat template; empty when it has none
    control_texts: tuple[str, ...]  # spellings of control tokens
    frame: Frame
    rank_template: str  # of a pair, with {query} and {document}; empty: the frame is all
    infill: Infill | None  # None: the model cannot fill in the middle

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Return the tokens of ``text``, without a beginning-of-sequence token."""
        ...

    def with_bos(self, tokens: list[int]) -> list[int]:
        """Return ``tokens`` with the leading token that the model wants, if it lacks it."""
        ...

    def piece(self, token: int) -> bytes:
        """Return the bytes a token stands for; control tokens stand for none."""
        ...

    def spelling(self, token: int) -> bytes:
        """Return the bytes of a token, of a control token those of its name."""
        ...

    def is_eog(self, token: int) -> bool:
        """Whether a token ends the answer."""
        ...


class Eyes(Protocol):
    """Turns image files into what the model sees of them; safe from any thread."""

    def look(self, content: bytes) -> Seen:
        """Return what a file is to the model; its pictures are not computed yet.

        Raises:
            InvalidRequest: It cannot be decoded, or the model cannot take it.
        """
        ...


class Backend(Protocol):
    """One loaded model with its cache; called from the loop thread only.

    Attributes:
        n_ctx: Most tokens of one sequence.
        n_cells: Cache cells over all sequences.
        n_batch: Tokens of a step.
        n_seq_max: Sequences at once.
        n_vocab: Tokens the model knows.
        n_cold_max: Sequences it can keep beside those that run; 0: a sequence cannot be cut.
        native_s: Seconds spent inside llama.cpp's decode call so far.
        embedding: How the model embeds.
        n_adapters: LoRA adapters loaded beside the model.
        eyes: What looks at images; ``None``: the model sees none.
    """

    n_ctx: int
    n_cells: int
    n_batch: int
    n_seq_max: int
    n_vocab: int
    n_cold_max: int
    embedding: EmbeddingFacts
    n_adapters: int

    @property
    def eyes(self) -> Eyes | None: ...

    def embedder(self) -> Embedder:
        """Return what computes vectors, made when it is first asked for.

        Raises:
            NotEnoughMemory: There is no memory for its context.
        """
        ...

    @property
    def native_s(self) -> float: ...

    def decode(self, chunks: Seq[Chunk]) -> list[int]:
        """Compute a step; return the number of each chunk's last logits, in order.

        The sequences of a step all have the same adapters.

        Raises:
            NoSlot: No room; nothing changed.
            DecodeFailed: Anything else; ``clear`` before going on.
        """
        ...

    def see(self, chunk: Chunk, picture: Picture) -> None:
        """Compute a picture as a whole; ``chunk`` is its stand-ins.

        Raises:
            NoSlot: No room; nothing changed.
            DecodeFailed: Nothing in the cache is to be trusted; ``clear`` before going on.
            WorkerError: It could not be looked at; nothing changed.
        """
        ...

    def use_threads(self, n: int) -> None:
        """Compute with so many threads from the next step on, deterministic requests apart.

        How many compute decides in which order some sums are taken.
        """
        ...

    def deterministic(self) -> Backend:
        """Return a backend of the same model with a cache of its own, made on first use.

        One sequence, id 0, in steps of ``GRID`` tokens.  Safe from any thread.

        Raises:
            NotEnoughMemory: There is none for it.
        """
        ...

    def new_sampler(
        self,
        params: SamplingParams,
        prompt: list[int],
        *,
        constraint: Constraint | None = None,
        n_logprobs: int | None = None,
        budget: Bound | None = None,
    ) -> Sampler:
        """Return a sampler that has seen the end of ``prompt``; called from one thread.

        Args:
            params: How to draw.
            prompt: What precedes the answer.
            constraint: What the answer must look like.
            n_logprobs: Likeliest tokens to tell at each place; ``None``: no log probabilities.
            budget: Bounds the thoughts.

        Raises:
            CorralError: The model or llama.cpp cannot do what is asked.
        """
        ...

    def free(self, seq_id: int) -> None:
        """Free all cells of a sequence."""
        ...

    def share(self, source: int, target: int, n: int) -> None:
        """Let ``target`` see the first ``n`` cells of ``source``; copies nothing."""
        ...

    def cut(self, seq_id: int, n: int) -> None:
        """Free all cells of a sequence but the first ``n``; 0 where it cannot be cut."""
        ...

    def save(self, seq_id: int, *, partial: bool = False) -> bytes:
        """Return the state of all cells of a sequence; empty when there is no memory for it.

        Args:
            seq_id: Whose.
            partial: Only what later tokens overwrite, to be a ``mark`` of ``restore``.
        """
        ...

    def restore(self, seq_id: int, blob: bytes, n: int, mark: bytes = b"") -> bool:
        """Give an empty sequence the first ``n`` cells of a saved one.

        Args:
            seq_id: The empty one.
            blob: What ``save`` gave.
            n: Fewer than it has only where a sequence can be cut, or with ``mark``.
            mark: What ``save(partial=True)`` gave when it had ``n``.

        Returns:
            Whether that worked; if not, the sequence is empty.
        """
        ...

    def clear(self) -> None:
        """Free all cells."""
        ...

"""One request inside the engine: its tokens, its place in the cache, its limits, its text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from runner.domain.event import FinishReason
from runner.engine.detokenize import Detokenizer
from runner.engine.stop import StopMatcher


class Sampler(Protocol):
    """Draws tokens for one sequence."""

    def draw(self, row: int) -> int:
        """Return the next token from the logits of batch row ``row``, and remember it."""
        ...

    def close(self) -> None:
        """Free what it holds; called once."""
        ...


#: LoRA adapters that a sequence is computed with: the index of each and its scale, by index.
Adapters = tuple[tuple[int, float], ...]


@dataclass(slots=True, eq=False)
class Sequence:
    """Mutable state of one request; changed by the loop thread only.

    Attributes:
        request_id: The daemon's name for it.
        tokens: Prompt, then what was drawn.
        n_prompt: How many of ``tokens`` are the prompt.
        n_limit: Most tokens in all; reaching it ends the sequence with ``length``.
        sampler: Draws its tokens.
        detokenizer: Turns them into text.
        stop: Watches the text for stop strings.
        wants_tokens: Whether the end shall carry all tokens.
        may_share: Whether it may begin with cells that were not computed for it.
        adapters: What it is computed with beside the model; shares steps and cells with its like.
        seq_id: Its llama.cpp sequence while it runs, else -1.
        n_computed: Tokens of ``tokens`` that are in the cache.
        n_cached: Of its prompt, how many it did not have to compute; ``None`` before it began.
        started_s: When its first step began, on the loop's clock; 0 before.
        first_token_s: When its first token was drawn; 0 before.
    """

    request_id: str
    tokens: list[int]
    n_prompt: int
    n_limit: int
    sampler: Sampler
    detokenizer: Detokenizer
    stop: StopMatcher = field(default_factory=StopMatcher)
    wants_tokens: bool = False
    may_share: bool = True
    adapters: Adapters = ()
    seq_id: int = -1
    n_computed: int = 0
    n_cached: int | None = None
    started_s: float = 0.0
    first_token_s: float = 0.0

    @property
    def n_pending(self) -> int:
        """Tokens that are not in the cache yet; at least 1 while it lives."""
        return len(self.tokens) - self.n_computed

    @property
    def n_generated(self) -> int:
        """Tokens drawn so far."""
        return len(self.tokens) - self.n_prompt

    def take(self, token: int, piece: bytes, *, is_eog: bool) -> tuple[str, FinishReason | None]:
        """Add a drawn token; return the text now certain, and why the sequence ends, if it does.

        Text that may still become a stop string is held back until it cannot, or the end.
        """
        self.tokens.append(token)
        if is_eog:
            return self.stop.flush(), FinishReason.STOP
        text = self.stop.feed(self.detokenizer.feed(piece))
        if self.stop.hit is not None:
            return text, FinishReason.STOP
        if len(self.tokens) >= self.n_limit:
            return text + self.stop.flush(), FinishReason.LENGTH
        return text, None

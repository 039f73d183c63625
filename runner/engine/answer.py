"""What a drawn token does to an answer: text that is now certain, and how it ends.

Pure bookkeeping on one sequence; the loop decides what to do about the end.
"""

from __future__ import annotations

from dataclasses import dataclass

from runner.domain.event import FinishReason, TokenLogprob
from runner.engine.backend import Vocabulary
from runner.engine.sequence import Sequence
from runner.protocol.messages import Outcome


@dataclass(frozen=True, slots=True)
class News:
    """What one step brought for a sequence.

    Attributes:
        text: New text, whole characters.
        reason: Why it ends here; ``None``: it goes on.
        logprobs: Of the tokens that ``text`` consists of, when asked for.
    """

    text: str
    reason: FinishReason | None
    logprobs: tuple[TokenLogprob, ...] = ()


def advance(seq: Sequence, drawn: int, vocabulary: Vocabulary) -> News:
    """Add a drawn token and those it forces to a sequence."""
    sampler = seq.sampler
    tokens = (drawn, *sampler.forced)
    seq.n_last = len(tokens)
    text, reason = "", None
    for n_left, token in zip(range(len(tokens) - 1, -1, -1), tokens, strict=True):
        new, reason = seq.take(
            token,
            vocabulary.piece(token),
            is_eog=vocabulary.is_eog(token),
            is_last=not n_left and sampler.is_complete,
            logprob=sampler.logprob,
        )
        text += new
        if reason is not None:
            break
    if seq.logprobs is None:
        return News(text, reason)
    is_all = reason is not None and seq.stop.hit is None
    return News(text, reason, seq.logprobs.release(len(text), is_all=is_all))


def outcome(seq: Sequence, reason: FinishReason, now: float) -> Outcome:
    """Return how a sequence ended at ``now``, on the loop's clock."""
    started = seq.started_s or now
    first = seq.first_token_s or now
    return Outcome(
        reason,
        seq.n_generated,
        prompt_s=first - started,
        decode_s=now - first,
        stop=seq.stop.hit,
        n_shifted=seq.n_shifted,
        tokens=tuple(seq.tokens) if seq.wants_tokens else (),
    )

"""What an answer is made of, whatever the dialect."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"  # end-of-generation token, or a stop string
    LENGTH = "length"  # max_tokens, or the context is full
    ABORTED = "aborted"  # the client left, or the request was cancelled


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted by the engine.

    Attributes:
        n_prompt: Tokens of the prompt, cached ones included.
        n_cached: Of them, taken from the cache instead of computed.
        n_generated: Tokens drawn, the one that ended the answer included.
    """

    n_prompt: int = 0
    n_cached: int = 0
    n_generated: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Where an answer's time went, in seconds.

    Attributes:
        total_s: From the request's arrival to its last token.
        load_s: Waiting for the model to be resident.
        prompt_s: From the start of the prompt's first step to the first token.
        decode_s: From the first token to the last.
    """

    total_s: float = 0.0
    load_s: float = 0.0
    prompt_s: float = 0.0
    decode_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TextDelta:
    """New text; whole Unicode characters only, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of every answer that did not fail.

    Attributes:
        reason: Why it ended.
        usage: Token counts.
        timings: Seconds.
        stop: The stop string that ended it, when one did.
        context: Prompt and answer as tokens; only when the request asked for it.
    """

    reason: FinishReason
    usage: Usage
    timings: Timings
    stop: str | None = None
    context: tuple[int, ...] = ()


Event = TextDelta | Finished

"""What an answer is made of, whatever the dialect."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runner.domain.cache import Hit


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"  # end-of-generation token, or a stop string
    LENGTH = "length"  # max_tokens, or the context is full
    TOOL_CALLS = "tool_calls"  # it called tools and waits for their results
    ABORTED = "aborted"  # the client left, or the request was cancelled


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted by the engine.

    Attributes:
        n_prompt: Tokens of the prompt, cached ones included.
        n_cached: Of them, taken from the cache instead of computed.
        n_generated: Tokens drawn, the one that ended the answer included.
        n_drafted: Tokens that were guessed before they were drawn.
        n_accepted: Of them, those that were guessed right.
        n_thought: Of the tokens drawn, those of thoughts; the markers around these are not.
    """

    n_prompt: int = 0
    n_cached: int = 0
    n_generated: int = 0
    n_drafted: int = 0
    n_accepted: int = 0
    n_thought: int = 0

    def plus(self, other: Usage) -> Usage:
        """Return the tokens of both."""
        return Usage(
            self.n_prompt + other.n_prompt,
            self.n_cached + other.n_cached,
            self.n_generated + other.n_generated,
            self.n_drafted + other.n_drafted,
            self.n_accepted + other.n_accepted,
            self.n_thought + other.n_thought,
        )


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
class Begun:
    """The prompt is known and its computing begins; precedes all text, not sent twice.

    Attributes:
        n_prompt: Tokens of the prompt.
        n_cached: Of them, taken from the cache.
        choice: Which of several answers.
    """

    n_prompt: int
    n_cached: int
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Reached:
    """How far an answer is, before what came with it; only when the request asked for it.

    Attributes:
        n_computed: Tokens of the prompt that are in the cache, those it had included.
        n_generated: Tokens drawn.
        prompt_s: Since the prompt's first step, or until the first token.
        decode_s: Since the first token.
        choice: Which of several answers.
    """

    n_computed: int
    n_generated: int
    prompt_s: float
    decode_s: float
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A token that could have been drawn, with the natural logarithm of its probability."""

    token: int
    content: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A drawn token and the likeliest ones at its place, the likeliest first.

    Probabilities are the model's own: before temperature, penalties and filters.
    """

    drawn: Candidate
    top: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptToken:
    """A token of the prompt; ``logprob`` is ``None`` for the first: nothing foretells it."""

    content: bytes
    logprob: TokenLogprob | None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """New text; whole Unicode characters only, never empty unless it tells of tokens.

    ``choice`` says, here and below, to which of several answers it belongs.  ``prompt``: all tokens
    of the prompt, once, where the request asked for them.
    """

    text: str
    choice: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    prompt: tuple[PromptToken, ...] = ()


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """New text of what the model thinks before it answers; like ``TextDelta``."""

    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A call, or the next piece of one.

    Attributes:
        index: Which call of the answer, from 0.
        name: The tool's name in the first piece, else empty.
        arguments: The next piece of the arguments' JSON text.
        id: Identifies the call in the first piece, else empty.
        choice: Which answer.
    """

    index: int
    name: str = ""
    arguments: str = ""
    id: str = ""
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of every answer that did not fail.

    Attributes:
        reason: Why it ended.
        usage: Token counts of this answer; only the first of several counts the prompt.
        timings: Seconds.
        stop: The stop string that ended it, when one did.
        context: Prompt and answer as tokens; only when the request asked for it.
        choice: Which answer.
        n_diverged: Where the prompt first differed from what the cache had most of; ``None``: the
            cache had nothing like it.
        n_shifted: Tokens that left the context so that the answer could go on.
        n_dropped: Turns of the conversation that were left out so that it fitted.
        hit: Where the part of the prompt came from that was not computed.
    """

    reason: FinishReason
    usage: Usage
    timings: Timings
    stop: str | None = None
    context: tuple[int, ...] = ()
    choice: int = 0
    n_diverged: int | None = None
    n_shifted: int = 0
    n_dropped: int = 0
    hit: Hit = Hit.NONE


Event = Begun | Reached | TextDelta | ThinkingDelta | ToolCallDelta | Finished

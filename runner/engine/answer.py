"""What a drawn token does to an answer: how it begins, text that is now certain, and how it ends.

Pure bookkeeping on one sequence; the loop decides what to do about the end.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from runner.domain.cache import Hit
from runner.domain.event import FinishReason, PromptToken, TokenLogprob
from runner.engine.backend import Backend, Vocabulary
from runner.engine.chunks import Chunk
from runner.engine.sequence import Sequence
from runner.errors import CorralError, WorkerError
from runner.protocol.messages import Delta, Outcome, Progress, Started

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class News:
    """What one step brought for a sequence.

    Attributes:
        text: New text, whole characters.
        reason: Why it ends here; ``None``: it goes on.
        logprobs: Of the tokens that ``text`` consists of, when asked for.
        marks: Where kept control tokens begin in ``text``.
        prompt: All tokens of the prompt, with the first news of one that is to be told.
    """

    text: str
    reason: FinishReason | None
    logprobs: tuple[TokenLogprob, ...] = ()
    marks: tuple[int, ...] = ()
    prompt: tuple[PromptToken, ...] = ()

    def delta(self, seq: Sequence, now: float, finish: Outcome | None = None) -> Delta:
        """Return it as a message about ``seq``."""
        at = progress(seq, now) if seq.tells_progress else None
        return Delta(seq.request_id, self.text, finish, self.logprobs, self.marks, self.prompt, at)

    def then(self, later: News) -> News:
        """Return this and what came after it as one."""
        n = len(self.text)
        marks = (*self.marks, *(n + place for place in later.marks))
        logprobs = self.logprobs + later.logprobs
        return News(self.text + later.text, later.reason, logprobs, marks, self.prompt)


def advance(seq: Sequence, drawn: int, vocabulary: Vocabulary) -> News:
    """Add a drawn token and those it forces to a sequence."""
    sampler = seq.sampler
    forced = sampler.forced
    seq.n_last = 1 + len(forced)
    text, reason = "", None
    n_left = len(forced)
    for token in (drawn, *forced):
        new, reason = seq.take(
            token,
            vocabulary.piece(token),
            is_eog=vocabulary.is_eog(token),
            is_last=not n_left and sampler.is_complete,
            logprob=sampler.logprob,
        )
        text += new
        n_left -= 1
        if reason is not None:
            break
    marks = seq.marks.release(len(text)) if seq.marks else ()
    if seq.logprobs is None:
        return News(text, reason, marks=marks)
    is_all = reason is not None and seq.stop.hit is None
    return News(text, reason, seq.logprobs.release(len(text), is_all=is_all), marks)


def tell(chunk: Chunk, row: int, vocabulary: Vocabulary) -> None:
    """Look through a computed chunk of a prompt that is to be told.

    Args:
        chunk: What was computed; nothing was drawn after it yet.
        row: Of its last token.
        vocabulary: For the bytes of the first token.
    """
    seq = chunk.seq
    if seq.told is not None and seq.is_telling:
        rows = range(row - chunk.n + 1, row + 1)
        foretell, spelling = seq.sampler.foretell, vocabulary.spelling
        seq.told.take(seq.tokens, chunk.start, rows, foretell=foretell, spelling=spelling)


def advance_all(seq: Sequence, row: int, vocabulary: Vocabulary, backend: Backend) -> News:
    """Draw after a sequence's last sure token, and after each guess for as long as they are right.

    A guess is right if it is what was drawn, or forced, in its place: the answer is what it would
    be without guesses.

    Args:
        seq: Whose tokens; all that are sure are computed, and its guess after them.
        row: Of its last token, guessed or not.
        vocabulary: For ``advance``.
        backend: Where the rows are.

    Returns:
        What all these tokens brought.

    Raises:
        CorralError: One could not be drawn.
    """
    prompt = seq.told.release() if seq.told else ()
    if seq.n_limit <= seq.n_prompt:  # only what the prompt tells was wanted
        return News("", FinishReason.LENGTH, prompt=prompt)
    guess = seq.guess
    if not guess and not prompt:  # nearly always
        return advance(seq, _draw(seq, row, backend), vocabulary)
    n_sure = len(seq.tokens)
    found, n_right = News("", None, prompt=prompt), 0
    while True:
        token = _draw(seq, row - len(guess) + n_right, backend)
        news = advance(seq, token, vocabulary)
        found = found.then(news)
        n_new = len(seq.tokens) - n_sure
        is_over = news.reason is not None or seq.is_full or n_new > len(guess)
        if is_over or tuple(seq.tokens[n_sure + n_right :]) != guess[n_right:n_new]:
            return found
        n_right = n_new


def _draw(seq: Sequence, row: int, backend: Backend) -> int:
    """Draw a sequence's next token; whatever goes wrong is its request's alone."""
    try:
        token = seq.sampler.draw(row)
        if not 0 <= token < backend.n_vocab:
            raise ValueError(f"{token} is not a token")
        return token
    except (AssertionError, CorralError):  # what was asked of the answer leaves no token
        raise
    except Exception as error:
        logger.exception("drawing a token failed")
        hint = "leave out options one by one; else try another quantization of the model"
        raise WorkerError(f"no token could be drawn: {error}", hint=hint) from None


def started(seq: Sequence, n_cached: int) -> Started:
    """Return how a sequence begins that need not compute its first ``n_cached`` tokens."""
    return Started(
        seq.request_id,
        seq.n_prompt,
        n_cached,
        max(seq.n_alike, n_cached) or None,
        seq.n_dropped,
        seq.tail,
        seq.hit if n_cached else Hit.NONE,
        seq.controls,
    )


def on_the_way(seq: Sequence, now: float) -> tuple[Delta, ...]:
    """Return what there is to say of a prompt of which a part was computed."""
    return (News("", None).delta(seq, now),) if seq.tells_progress else ()


def progress(seq: Sequence, now: float) -> Progress:
    """Return how far a sequence is at ``now``, on the loop's clock."""
    first = seq.first_token_s or now
    n_computed = min(seq.n_computed, seq.n_prompt)
    return Progress(n_computed, seq.n_generated, first - (seq.started_s or first), now - first)


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
        n_drafted=seq.drafter.n_drafted if seq.drafter else 0,
        n_accepted=seq.drafter.n_accepted if seq.drafter else 0,
        tokens=tuple(seq.tokens) if seq.wants_tokens else (),
        n_thought=seq.thoughts.n_thought if seq.thoughts else 0,
    )

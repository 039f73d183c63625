"""From a request to a sequence: render the template, tokenize, check that it fits.

Runs beside the loop, so a long prompt never delays a running stream.  One thread takes requests
by class; a second one, ``rendering.py``'s, executes the model's template.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from queue import PriorityQueue

from msgspec import structs

from runner.domain.chat import Message
from runner.domain.options import SamplingParams
from runner.domain.request import CacheUse, Priority
from runner.engine.adapters import adapters_of, own_adapters
from runner.engine.backend import Backend, Vocabulary
from runner.engine.budget import budget_of
from runner.engine.detokenize import Detokenizer
from runner.engine.draft import Drafter
from runner.engine.embed import Job
from runner.engine.framing import job_of
from runner.engine.limits import limits_of, n_ctx_of, room_of
from runner.engine.logprobs import HeldLogprobs
from runner.engine.looking import Looks, images_of, tokenized, with_pictures
from runner.engine.marks import HeldMarks
from runner.engine.pictures import Picture, moved, only_tokens
from runner.engine.rendering import Renderer, no_memory
from runner.engine.sequence import Sequence
from runner.engine.stop import StopMatcher
from runner.engine.told import Told
from runner.errors import CorralError, InvalidRequest, PromptTooLong, Unsupported
from runner.prompt import thinking
from runner.prompt.compiled import inserts
from runner.prompt.continued import is_continued
from runner.prompt.fit import Fitted, fit
from runner.prompt.literal import Shield
from runner.prompt.thinking import TAIL_CHARS
from runner.prompt.toolcalls import harmony
from runner.protocol.messages import (
    Detokenize,
    Embed,
    Failed,
    Generate,
    Render,
    Rerank,
    Tokenize,
    Tokenized,
)

logger = logging.getLogger(__name__)

_RANKS = {priority: rank for rank, priority in enumerate(Priority)}

#: What goes in.
Request = Generate | Tokenize | Detokenize | Render | Embed | Rerank
#: What comes out: something ready to run, or the end of its request.
Outcome = Sequence | Job | Tokenized | Failed


@dataclass(frozen=True, slots=True)
class _Prompt:
    """Tokens, the text they were made of, and its end: it may have opened thoughts.

    ``n_added``: tokens before them that nobody wrote; ``pictures``: those among them.
    """

    tokens: list[int]
    text: str
    tail: str = ""
    n_added: int = 0
    pictures: tuple[Picture, ...] = ()


class Preparer:
    """Owns the thread; ``submit`` is safe from any thread, outcomes go to ``deliver``."""

    def __init__(
        self, vocabulary: Vocabulary, backend: Backend, deliver: Callable[[Outcome], None]
    ) -> None:
        self._vocabulary = vocabulary
        self._backend = backend
        self._deliver = deliver
        self._shield = Shield(vocabulary.control_texts)
        # By class, then by arrival: a flood of batch prompts holds up nobody who looks on.
        self._requests: PriorityQueue[tuple[int, int, Request | None]]
        self._requests = PriorityQueue()
        self._arrivals = itertools.count()
        self._renderer = Renderer(vocabulary)
        threading.Thread(target=self._prepare_all, name="prepare", daemon=True).start()

    @property
    def is_stuck(self) -> bool:
        """Whether a template runs on although it was told to stop."""
        return self._renderer.is_stuck

    def submit(self, request: Request) -> None:
        """Queue a request; exactly one outcome with its ``request_id`` follows."""
        asked = request if isinstance(request, Generate | Embed | Rerank) else None
        priority = asked.terms.priority if asked else Priority.API
        self._requests.put((_RANKS[priority], next(self._arrivals), request))

    def close(self) -> None:
        """End it, and what renders, once they have done what was submitted before."""
        self._requests.put((len(_RANKS), next(self._arrivals), None))

    def _prepare_all(self) -> None:
        while request := self._requests.get()[2]:
            try:
                outcome: Outcome = self._prepare(request)
            except CorralError as error:
                outcome = failed(request.request_id, error)
            except MemoryError:
                outcome = failed(request.request_id, no_memory(0))
            except Exception:
                logger.exception("preparing a request failed")
                outcome = Failed(request.request_id, "internal", "the prompt cannot be prepared")
            self._deliver(outcome)
        self._renderer.close()

    def _prepare(self, request: Request) -> Outcome:
        match request:
            case Tokenize():
                tokens = self._vocabulary.tokenize(
                    request.text, parse_special=request.parse_special
                )
                return Tokenized(request.request_id, tuple(tokens), request.text)
            case Detokenize():
                self._check_tokens(request.tokens, "tokens")
                return Tokenized(request.request_id, request.tokens, self._spelt(request.tokens))
            case Render():
                fitted, prompt = self._fit(request.generate)
                # What stands for a picture is no token: it is shown as none.
                shown = tuple(max(token, -1) for token in fitted.tokens)
                return Tokenized(request.request_id, shown, prompt.text)
            case Generate():
                return self._sequence(request)
            case _:
                return job_of(request, self._vocabulary, self._backend)

    def _check_tokens(self, tokens: Iterable[int], field: str) -> None:
        n_vocab = self._backend.n_vocab
        if any(not 0 <= token < n_vocab for token in tokens):
            raise InvalidRequest(f"{field}: tokens must be in [0, {n_vocab - 1}]", param=field)

    def _spelt(self, tokens: Iterable[int]) -> str:
        return b"".join(map(self._vocabulary.spelling, tokens)).decode("utf-8", "replace")

    def _sequence(self, request: Generate) -> Sequence:
        fitted, prompt = self._fit(request)
        tail = prompt.tail
        request = settled(request, tail)
        tokens, pictures = fitted.tokens, prompt.pictures
        self._check_tokens(request.context, "context")
        if pictures:
            request = with_pictures(request)
        terms = request.terms
        backend = self._backend.deterministic() if terms.is_deterministic else self._backend
        sampling = request.sampling
        if terms.is_deterministic and sampling.seed is None:
            sampling = replace(sampling, seed=0)
        limits = limits_of(request, len(tokens), backend.n_ctx)
        adapters = adapters_of(request, backend.n_adapters)
        kept = self._kept(request.keeps_control)
        budget = budget_of(request, self._vocabulary, limits, n_prompt=len(tokens), tail=tail)
        return Sequence(
            request_id=request.request_id,
            tokens=tokens,
            n_prompt=len(tokens),
            n_limit=limits.n_limit,
            n_keep=limits.n_keep,
            n_draw_max=limits.n_draw_max,
            n_dropped=fitted.n_dropped,
            owner_id=terms.owner_id,
            is_deterministic=terms.is_deterministic,
            sampler=backend.new_sampler(
                sampling,
                only_tokens(tokens) if pictures else tokens,
                constraint=request.constraint,
                n_logprobs=request.n_logprobs,
                budget=budget if budget and budget.is_bound else None,
            ),
            thoughts=budget,
            detokenizer=Detokenizer(),
            stop=StopMatcher(request.stop),
            logprobs=None if request.n_logprobs is None else HeldLogprobs(),
            told=Told(len(tokens), prompt.n_added) if request.tells_prompt else None,
            tells_progress=request.tells_progress,
            wants_tokens=request.wants_tokens,
            tail=tail,
            kept=kept,
            marks=HeldMarks() if kept else None,
            adapters=adapters,
            has_own_adapters=adapters == own_adapters(backend.n_adapters),
            # A seed asks for the same answer again: its numbers come from a fresh run each time.
            may_share=request.terms.cache is not CacheUse.NONE
            and not request.tells_prompt
            and (request.sampling.seed is None or request.sampling.temperature <= 0),
            terms=request.terms,
            cache=request.terms.cache,
            pictures=pictures,
            drafter=None if pictures else drafter_of(request, sampling),
        )

    def _fit(self, request: Generate) -> tuple[Fitted, _Prompt]:
        """All tokens of a prompt, without oldest turns where that is allowed, and its text."""
        made: dict[int, _Prompt] = {}  # by the identity of its tokens
        looks = Looks(self._backend.eyes, request.messages or ())

        def kept(prompt: _Prompt) -> list[int]:
            given = [*request.context, *prompt.tokens]
            tokens = self._vocabulary.with_bos(given)
            pictures = tuple(moved(prompt.pictures, len(tokens) - len(prompt.tokens)))
            n_added = len(tokens) - len(given)
            made[id(tokens)] = replace(prompt, tokens=tokens, n_added=n_added, pictures=pictures)
            return tokens

        def rendered(turns: tuple[Message, ...]) -> list[int]:
            return kept(self._chat_prompt(request, turns, looks))

        if request.prompt is not None:
            tokens = kept(self._given_prompt(request))
            return Fitted(tokens, 0), made[id(tokens)]
        messages = request.messages or ()
        if not request.truncates:
            tokens = rendered(messages)
            return Fitted(tokens, 0), made[id(tokens)]
        n_ctx = n_ctx_of(request, self._backend.n_ctx)
        fitted = fit(
            messages,
            rendered,
            n_max=n_ctx - 1,  # a drawn token needs a place, too
            n_room=room_of(request, n_ctx),
        )
        return fitted, made[id(fitted.tokens)]

    def _given_prompt(self, request: Generate) -> _Prompt:
        """A prompt as the caller wrote it, or both sides of the gap that the answer fills."""
        vocabulary, text, suffix = self._vocabulary, request.prompt or "", request.suffix
        if suffix and request.template and inserts(request.template):
            covered = structs.replace(request, suffix=self._shield.cover(suffix))
            turns = (Message("user", text),)
            return self._chat_prompt(covered, turns, Looks(None, turns))
        if not suffix:
            return _Prompt(vocabulary.tokenize(text, parse_special=True), text)
        infill = vocabulary.infill
        if infill is None:
            raise Unsupported("the model has no tokens for filling in the middle", param="suffix")
        tokens = [
            infill.prefix,
            *vocabulary.tokenize(text, parse_special=False),
            infill.suffix,
            *vocabulary.tokenize(suffix, parse_special=False),
            infill.middle,
        ]
        spelt = [self._spelt([token]) for token in (infill.prefix, infill.suffix, infill.middle)]
        return _Prompt(tokens, f"{spelt[0]}{text}{spelt[1]}{suffix}{spelt[2]}")

    def _kept(self, spellings: tuple[str, ...]) -> dict[int, bytes]:
        """The text of those control tokens that shall not vanish from the answer."""
        kept = {}
        for spelling in spellings:
            tokens = self._vocabulary.tokenize(spelling, parse_special=True)
            if len(tokens) == 1:  # else this model writes it in ordinary tokens
                kept[tokens[0]] = spelling.encode()
        return kept

    def _chat_prompt(self, request: Generate, turns: tuple[Message, ...], look: Looks) -> _Prompt:
        """A rendered conversation; its tail is left out where people wrote it.

        What people wrote holds no control tokens.
        """
        shield = self._shield
        messages = shield.cover_messages(turns)
        tools = tuple(map(shield.cover_tool, request.tools))
        images = images_of(turns)
        parts = shield.uncover(self._renderer.render(messages, tools, request), len(images))
        tokens, pictures = tokenized(parts, images, self._vocabulary, look)
        is_own = bool(parts) and not parts[-1].is_literal
        tail = parts[-1].text[-TAIL_CHARS:] if is_own else ""
        text = "".join(part.text for part in parts)
        return _Prompt(tokens, text, tail, pictures=tuple(pictures))


def drafter_of(request: Generate, sampling: SamplingParams) -> Drafter | None:
    """Return what guesses the answer to ``request``, if anything may.

    A seed asks for the same answer again.  What pays hangs on the clock, and steps of other sizes
    round differently; so then nothing is guessed unless it was asked for.
    """
    mode = request.speculate
    is_seeded = sampling.seed is not None and sampling.temperature > 0
    is_off = mode == "off" or request.n_draft_max == 0 or request.terms.is_deterministic
    if is_off or (mode == "auto" and is_seeded):
        return None
    return Drafter(mode, request.n_draft_max)


def settled(request: Generate, tail: str) -> Generate:
    """Return ``request`` with its constraint as the end of the prompt wants it."""
    constraint = request.constraint
    if constraint is None or not constraint.after:
        return request
    # What goes on with a turn has its thoughts behind it.
    is_going_on = is_continued(request.messages or ())
    found = thinking.settled(constraint, tail, False if is_going_on else request.think)
    if is_going_on and constraint.after == harmony.ANSWER:
        found = replace(constraint, after="")
    return structs.replace(request, constraint=found)


def failed(request_id: str, error: CorralError) -> Failed:
    """Return what tells the daemon that a request ended with ``error``."""
    param = getattr(error, "param", None) or ""
    n_needed = error.n_prompt if isinstance(error, PromptTooLong) else 0
    return Failed(request_id, error.code, error.message, error.hint, param, n_needed)

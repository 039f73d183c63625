"""``POST /v1/completions``: text that goes on, without a conversation around it.

One call may carry several prompts and want several answers to each.  Every prompt is a request of
its own to the service; its answers count on from those of the prompts before it.
"""

from __future__ import annotations

import codecs
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from runner.dialects import constraints, wire
from runner.dialects.fields import cache_facts, finish_word, parse_keep_alive
from runner.dialects.ollama import token_ids
from runner.dialects.openai.chat import StreamOptions
from runner.dialects.openai.counts import ProgressBody, Speedometer, timings, usage_object
from runner.dialects.openai.errors import error_body
from runner.dialects.openai.sampling import OPTION_FIELDS
from runner.dialects.openai.turns import unsupported
from runner.dialects.terms import parse_terms
from runner.dialects.whole import gathered
from runner.domain.event import (
    Begun,
    Event,
    Finished,
    PromptToken,
    Reached,
    TextDelta,
    TokenLogprob,
    Usage,
)
from runner.domain.name import ModelName
from runner.domain.options import Options, parse_options
from runner.domain.request import Constraint, InferenceRequest
from runner.errors import CorralError, InvalidRequest

#: What OpenAI documents for a request that sets no ``max_tokens``.
DEFAULT_MAX_TOKENS = 16
#: Most prompts of one call, answers to one prompt, and likeliest tokens at each place.
MAX_PROMPTS, MAX_CHOICES, MAX_LOGPROBS = 64, 16, 20

STREAM_CONTENT_TYPE = "text/event-stream"
_MID_STREAM_STATUS = 500


class CompletionBody(msgspec.Struct):
    """The body; numbers are checked for their range with the other options."""

    model: str
    prompt: str | list[str | int | list[int]] | None = None
    suffix: str | None = None
    echo: bool | None = None
    n: int | None = None
    best_of: int | None = None
    logprobs: int | bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | float | None = None
    stop: str | list[str] | None = None
    logit_bias: dict[str, Any] | list[Any] | None = None
    top_k: int | float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | float | None = None
    ignore_eos: bool | None = None
    num_ctx: int | float | None = None
    min_tokens: int | float | None = None
    speculate: str | bool | None = None
    draft_num_predict: int | float | None = None
    response_format: dict[str, Any] | None = None
    grammar: Any = None
    regex: Any = None
    lark: Any = None
    keep_alive: Any = None
    priority: str | None = None
    deadline_s: float | None = None
    deterministic: bool | None = None
    cache: Any = None
    cache_report: bool | None = None
    timings_per_token: bool | None = None
    return_progress: bool | None = None
    shift: bool | None = None


_body = msgspec.json.Decoder(CompletionBody)


@dataclass(frozen=True, slots=True)
class Call:
    """What one call asks for.

    Attributes:
        requests: One for each prompt, all alike but for it.
        model: As the caller wrote it.
        echo: Whether each answer begins with its prompt.
        stream: Whether the answers come in pieces.
        include_usage: Whether a stream tells its tokens at the end.
        reports_cache: Whether the answer tells what the cache had.
        tells_timings: Whether it tells how fast it comes.
        tells_progress: Whether a stream tells how far its prompt is.
    """

    requests: tuple[InferenceRequest, ...]
    model: str
    echo: bool
    stream: bool
    include_usage: bool
    reports_cache: bool
    tells_timings: bool = False
    tells_progress: bool = False

    @property
    def n(self) -> int:
        """Answers to each prompt."""
        return self.requests[0].n

    @property
    def n_choices(self) -> int:
        """Answers in all."""
        return self.n * len(self.requests)

    @property
    def has_logprobs(self) -> bool:
        """Whether the answers tell how likely their tokens were."""
        return self.requests[0].n_logprobs is not None


def parse(body: bytes) -> Call:
    """Return the call that a body makes.

    Raises:
        RequestError: A field is missing, mistyped, out of range or not offered; ``param`` names it.
    """
    asked = wire.decode(body, _body)
    if not asked.model:
        raise InvalidRequest("model is required", param="model")
    n = _n(asked)
    n_logprobs = _n_logprobs(asked)
    common = InferenceRequest(
        model=ModelName.parse(asked.model),
        prompt="",
        options=_options(asked),
        keep_alive=parse_keep_alive(asked.keep_alive),
        terms=parse_terms(
            asked.priority,
            asked.deadline_s,
            is_deterministic=asked.deterministic is True,
            cache=asked.cache,
        ),
        n=n,
        constraint=_constraint(asked),
        n_logprobs=n_logprobs,
        tells_prompt=_tells_prompt(asked, n_logprobs),
        tells_progress=bool(asked.stream and (asked.timings_per_token or asked.return_progress)),
        suffix=asked.suffix or "",
        shifts=asked.shift is True,
    )
    requests = tuple(_with_prompt(common, prompt) for prompt in _prompts(asked.prompt))
    return Call(
        requests,
        asked.model,
        echo=bool(asked.echo),
        stream=bool(asked.stream),
        include_usage=bool(asked.stream_options and asked.stream_options.include_usage),
        reports_cache=bool(asked.cache_report),
        tells_timings=bool(asked.timings_per_token),
        tells_progress=bool(asked.return_progress),
    )


def _prompts(raw: str | list[str | int | list[int]] | None) -> list[str | tuple[int, ...]]:
    """Return the prompts: a text, tokens, or a list of either."""
    if raw is None:
        raise InvalidRequest("'prompt' is required", param="prompt")
    if isinstance(raw, str):
        return [raw]
    if not raw:
        raise InvalidRequest("prompt must not be empty", param="prompt")
    tokens = [entry for entry in raw if isinstance(entry, int)]
    if len(tokens) == len(raw):
        return [token_ids(tokens, "prompt")]
    if len(raw) > MAX_PROMPTS:
        raise InvalidRequest(
            f"prompt has {len(raw)} entries, at most {MAX_PROMPTS}",
            hint="send them in several requests",
            param="prompt",
        )
    found: list[str | tuple[int, ...]] = []
    for index, entry in enumerate(raw):
        if isinstance(entry, int):
            raise InvalidRequest("prompt mixes tokens with other prompts", param="prompt")
        if isinstance(entry, str):
            found.append(entry)
        else:
            found.append(token_ids(entry, f"prompt[{index}]"))
    return found


def _with_prompt(common: InferenceRequest, prompt: str | tuple[int, ...]) -> InferenceRequest:
    if isinstance(prompt, str):
        return replace(common, prompt=prompt)
    if common.suffix:
        raise InvalidRequest(
            "suffix needs a prompt of text", hint="send the prompt as a string", param="suffix"
        )
    return replace(common, context=prompt)


def _n(asked: CompletionBody) -> int:
    n = 1 if asked.n is None else asked.n
    if not 1 <= n <= MAX_CHOICES:
        raise InvalidRequest(f"n must be in [1, {MAX_CHOICES}], not {n}", param="n")
    if asked.best_of is not None and asked.best_of not in (1, n):
        raise unsupported("best_of", "best_of is not offered: every answer is returned")
    return n


def _n_logprobs(asked: CompletionBody) -> int | None:
    n = asked.logprobs
    if n is None or isinstance(n, bool):  # llama-server takes true
        return 0 if n else None
    if not 0 <= n <= MAX_LOGPROBS:
        raise InvalidRequest(f"logprobs must be in [0, {MAX_LOGPROBS}], not {n}", param="logprobs")
    return n


def _tells_prompt(asked: CompletionBody, n_logprobs: int | None) -> bool:
    """Whether the probabilities of the prompt's tokens are wanted, as evaluations want them."""
    if not asked.echo or n_logprobs is None:
        return False
    if asked.suffix:
        raise unsupported("suffix", "a suffix has no place in an echo with logprobs")
    return True


def _options(asked: CompletionBody) -> Options:
    raw = {name: getattr(asked, name) for name in OPTION_FIELDS if hasattr(asked, name)}
    raw["num_predict"] = DEFAULT_MAX_TOKENS if asked.max_tokens is None else asked.max_tokens
    try:
        return parse_options(raw)
    except InvalidRequest as error:
        if error.param != "num_predict":
            raise
        message = error.message.replace("num_predict", "max_tokens")
        raise InvalidRequest(message, hint=error.hint, param="max_tokens") from None


def _constraint(asked: CompletionBody) -> Constraint | None:
    form = constraints.of_response_format(asked.response_format)
    return constraints.one_of(form, grammar=asked.grammar, regex=asked.regex, lark=asked.lark)


# Answers


def new_id() -> str:
    """Return an id that no other answer has."""
    return f"cmpl-{secrets.token_hex(12)}"


def _new_decoder() -> codecs.IncrementalDecoder:
    """Counts a character with the token that completes it."""
    return codecs.getincrementaldecoder("utf-8")("ignore")


@dataclass(slots=True)
class Logprobs:
    """Tokens as this call tells of them: four lists side by side.

    ``text_offset`` counts characters from the beginning of the answer, which is that of the prompt
    where this is repeated.  The first token of a prompt has no probability, in its place is
    ``null``.
    """

    n_chars: int = 0
    wants_top: bool = False
    tokens: list[str] = field(default_factory=list)
    token_logprobs: list[float | None] = field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] = field(default_factory=list)
    text_offset: list[int] = field(default_factory=list)
    _decoder: codecs.IncrementalDecoder = field(default_factory=_new_decoder)

    def add(self, each: TokenLogprob) -> None:
        """Take the next token."""
        top = {_shown(one.content): one.logprob for one in (*each.top, each.drawn)}
        self._add(each.drawn.content, each.drawn.logprob, top)

    def add_prompt(self, tokens: Sequence[PromptToken]) -> None:
        """Take those of the prompt, which come before all others."""
        for token in tokens:
            if token.logprob is None:
                self._add(token.content, None, None)
            else:
                self.add(token.logprob)

    def _add(self, content: bytes, logprob: float | None, top: dict[str, float] | None) -> None:
        self.tokens.append(_shown(content))
        self.token_logprobs.append(logprob)
        self.top_logprobs.append(top)
        self.text_offset.append(self.n_chars)
        self.n_chars += len(self._decoder.decode(content))

    def take(self) -> dict[str, Any]:
        """Return what came since the last time, and begin anew behind it."""
        told = {
            "tokens": self.tokens,
            "token_logprobs": self.token_logprobs,
            "top_logprobs": self.top_logprobs if self.wants_top else None,
            "text_offset": self.text_offset,
        }
        self.tokens, self.token_logprobs, self.top_logprobs, self.text_offset = [], [], [], []
        return told


def _shown(content: bytes) -> str:
    """A token's text; of one that is part of a character, its bytes, as OpenAI writes them."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in content)


def _head(call: Call, answer_id: str, created: int) -> dict[str, Any]:
    return {
        "id": answer_id,
        "object": "text_completion",
        "created": created,
        "model": call.model,
        "system_fingerprint": "fp_corral",
    }


def whole(
    call: Call, events: Sequence[Event], echoes: Sequence[str], *, answer_id: str, created: int
) -> bytes:
    """Return the answer to a call without ``stream``.

    Args:
        call: What was asked.
        events: All that came, its choices counted over all prompts.
        echoes: The text of each prompt, where it is to be repeated.
        answer_id: From ``new_id``.
        created: Seconds since the epoch.

    Raises:
        WorkerError: An answer was cut off.
    """
    usage = Usage()
    choices = []
    told = gathered(events, call.n_choices)
    for index, reply in enumerate(told):
        usage = usage.plus(reply.end.usage)
        logprobs = _logprobs(call)
        logprobs.add_prompt(reply.prompt)
        for each in reply.logprobs:
            logprobs.add(each)
        choices.append(
            {
                "index": index,
                "text": (echoes[index // call.n] if call.echo else "") + reply.text,
                "logprobs": logprobs.take() if call.has_logprobs else None,
                "finish_reason": finish_word(reply.end),
            }
        )
    answer = _head(call, answer_id, created)
    answer |= {"choices": choices, "usage": usage_object(usage)}
    if call.reports_cache:
        answer["cache"] = cache_facts(told[0].end)
    if call.tells_timings:
        answer["timings"] = timings(told[0].end)
    return wire.encode(answer)


def _logprobs(call: Call) -> Logprobs:
    return Logprobs(wants_top=bool(call.requests[0].n_logprobs))


class ChunkEncoder:
    """Turns the events of all answers into server-sent events."""

    content_type = STREAM_CONTENT_TYPE
    ping = b": ping\n\n"  # a comment, which clients pass over

    def __init__(self, call: Call, echoes: Sequence[str], *, answer_id: str, created: int) -> None:
        """Begin; see ``whole``."""
        self._call = call
        self._echoes = list(echoes)
        self._head = _head(call, answer_id, created)
        self._begun = self._head | ({"usage": None} if call.include_usage else {})
        self._logprobs = [_logprobs(call) for _ in range(call.n_choices)]
        self._is_echoed = [not call.echo] * call.n_choices
        self._speeds = [Speedometer() for _ in range(call.n_choices)]
        self._usage = Usage()
        self._n_left = call.n_choices

    def encode(self, event: Event) -> bytes:
        """Return the frames that tell ``event``; the last one's end with ``[DONE]``.

        Raises:
            WorkerError: The event says that the answer was cut off.
        """
        match event:
            case TextDelta():
                self._logprobs[event.choice].add_prompt(event.prompt)
                for each in event.logprobs:
                    self._logprobs[event.choice].add(each)
                text = self._echo(event.choice) + event.text
                return self._chunk(event.choice, text, None, **self._timings(event.choice))
            case Begun():
                return self._progress(event.choice, self._speeds[event.choice].begin(event))
            case Reached():
                return self._progress(event.choice, self._speeds[event.choice].reach(event))
            case Finished():
                return self._end(event)
            case _:
                return b""

    def _timings(self, choice: int) -> dict[str, Any]:
        return {"timings": self._speeds[choice].timings} if self._call.tells_timings else {}

    def _progress(self, choice: int, progress: ProgressBody | None) -> bytes:
        """Tell how much of a prompt is computed, where that was asked for."""
        if progress is None or not self._call.tells_progress:
            return b""
        more = {"prompt_progress": progress} | self._timings(choice)
        entry = {"index": choice, "text": "", "logprobs": None, "finish_reason": None}
        return _frame(self._begun | {"choices": [entry]} | more)

    def _echo(self, choice: int) -> str:
        """The prompt, once for each answer."""
        if self._is_echoed[choice]:
            return ""
        self._is_echoed[choice] = True
        return self._echoes[choice // self._call.n]

    def _chunk(self, choice: int, text: str, reason: str | None, **more: Any) -> bytes:
        logprobs = self._logprobs[choice]
        has_some = self._call.has_logprobs and (logprobs.tokens or not reason)
        entry = {
            "index": choice,
            "text": text,
            "logprobs": logprobs.take() if has_some else None,
            "finish_reason": reason,
        }
        return _frame(self._begun | {"choices": [entry]} | more)

    def _end(self, event: Finished) -> bytes:
        more: dict[str, Any] = {}
        if self._call.reports_cache:
            more["cache"] = cache_facts(event)
        if self._call.tells_timings:
            more["timings"] = timings(event)
        text = self._echo(event.choice)
        frames = [self._chunk(event.choice, text, finish_word(event), **more)]
        self._usage = self._usage.plus(event.usage)
        self._n_left -= 1
        if not self._n_left:
            if self._call.include_usage:
                usage = usage_object(self._usage)
                frames.append(_frame(self._head | {"choices": [], "usage": usage}))
            frames.append(b"data: [DONE]\n\n")
        return b"".join(frames)

    def error(self, error: CorralError) -> bytes:
        """Return the frames that end a stream which failed on its way."""
        return _frame(error_body(error, _MID_STREAM_STATUS)) + b"data: [DONE]\n\n"


def _frame(body: Any) -> bytes:
    return b"data: " + wire.encode(body) + b"\n\n"

"""Ollama's API for answers: ``/api/generate`` and ``/api/chat``, and the form of every error.

The two calls differ only in where the text stands (``response`` or ``message.content``), so one
``Call`` and one encoder serve both.  What lists, shows and moves models is ``ollama_models.py``.
Fields that would change the answer and that this version cannot honour are refused, never
dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from runner.dialects import constraints, wire
from runner.dialects.fields import (
    AdapterBody,
    CacheFacts,
    cache_facts,
    finish_word,
    named,
    parse_adapters,
    parse_keep_alive,
)
from runner.dialects.images import prompt_images
from runner.dialects.ollama_turns import (
    ReplyMessage,
    TurnBody,
    call_body,
    parse_think,
    parse_turn,
    reply,
)
from runner.dialects.terms import parse_terms
from runner.dialects.tools import parse_tool_choice, parse_tools
from runner.dialects.whole import CalledTool, WholeAnswer, gathered
from runner.domain.chat import Message
from runner.domain.event import (
    Begun,
    Event,
    Finished,
    FinishReason,
    Reached,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCallDelta,
)
from runner.domain.name import ModelName
from runner.domain.options import parse_options
from runner.domain.request import Constraint, InferenceRequest, Terms
from runner.errors import CorralError, InvalidRequest, ModelNotFound, from_code

#: The release of Ollama whose API this one follows; clients look at it to know what they may use.
OLLAMA_LEVEL = "0.32.15"

CONTENT_TYPE = "application/json; charset=utf-8"
STREAM_CONTENT_TYPE = "application/x-ndjson"

_MAX_TOKEN_ID = 2**31 - 1  # llama.h: llama_token is an int32


# Requests


class ModelBody(msgspec.Struct):
    """A body that names a model; older clients say ``name`` where newer ones say ``model``."""

    model: str | None = None
    name: str | None = None

    def model_text(self) -> str:
        """Return the model as the caller wrote it; empty when none is named."""
        return self.model or self.name or ""


class _AnswerBody(ModelBody):
    """What generate and chat have in common."""

    stream: bool | None = None
    options: dict[str, Any] | None = None
    keep_alive: Any = None
    format: Any = None
    think: bool | str | None = None
    truncate: bool | None = None
    shift: bool | None = None
    deterministic: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    priority: str | None = None
    deadline_s: float | None = None
    grammar: Any = None
    regex: Any = None
    lark: Any = None
    lora: list[AdapterBody] | None = None
    debug_render_only: bool | None = msgspec.field(name="_debug_render_only", default=None)
    cache: Any = None
    cache_report: bool | None = None
    conversation: str | None = None


class GenerateBody(_AnswerBody):
    """``POST /api/generate``."""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: list[int] | None = None
    raw: bool | None = None
    images: list[Any] | None = None


class ChatBody(_AnswerBody):
    """``POST /api/chat``; what says whether to call tools is ours, named as OpenAI does."""

    messages: list[TurnBody] | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None


_generate_body = msgspec.json.Decoder(GenerateBody)
_chat_body = msgspec.json.Decoder(ChatBody)


@dataclass(frozen=True, slots=True)
class Call:
    """What one generate or chat asks for.

    Attributes:
        request: For the service.
        model: The model as the caller wrote it, which every answer repeats.
        is_chat: Whether the answer has the form of a chat.
        stream: Whether the answer comes in pieces.
        is_empty: Nothing to answer: the model shall be loaded, or unloaded.
        reports_cache: Whether the answer shall tell what the cache had.
        only_renders: The prompt is wanted, no answer.
    """

    request: InferenceRequest
    model: str
    is_chat: bool
    stream: bool
    is_empty: bool
    reports_cache: bool = False
    only_renders: bool = False

    @property
    def unloads(self) -> bool:
        """Whether the call only ends the model's stay in memory."""
        return self.is_empty and self.request.keep_alive == 0


def parse_generate(body: bytes) -> Call:
    """Return the call that a body of ``/api/generate`` makes.

    Raises:
        RequestError: A field is missing, mistyped, out of range or not offered.
    """
    asked = wire.decode(body, _generate_body)
    text = asked.model_text()
    if not text:  # Ollama answers 404 here, where chat answers 400
        raise from_code(ModelNotFound.code, "model '' not found", "name it in the field 'model'")
    name = parse_name(asked)
    if asked.raw and (asked.template or asked.system or asked.context):
        raise InvalidRequest("raw mode does not support template, system, or context")
    prompt = asked.prompt or ""
    turns = [Message("system", asked.system)] if asked.system else []
    images = prompt_images(asked.images, "raw" if asked.raw else "suffix" if asked.suffix else "")
    is_raw = bool(asked.raw or asked.suffix)  # a gap is filled without a conversation around it
    request = InferenceRequest(
        model=name,
        messages=None if is_raw else (*turns, Message("user", prompt, images=images)),
        prompt=prompt if is_raw else None,
        suffix=asked.suffix or "",
        options=parse_options(asked.options or {}),
        keep_alive=parse_keep_alive(asked.keep_alive),
        constraint=_constraint(asked),
        n_logprobs=constraints.n_logprobs(asked.logprobs, asked.top_logprobs),
        context=token_ids(asked.context or [], "context"),
        wants_context=not asked.raw,
        terms=_terms(asked),
        shifts=asked.shift is True,
        truncates=asked.truncate is True,
        think=parse_think(asked.think),
        template=asked.template or None,
        adapters=parse_adapters(asked.lora),
    )
    return Call(
        request,
        text,
        is_chat=False,
        stream=asked.stream is not False,
        is_empty=not (prompt or images or asked.suffix),
        reports_cache=bool(asked.cache_report),
        only_renders=bool(asked.debug_render_only),
    )


def parse_chat(body: bytes) -> Call:
    """Return the call that a body of ``/api/chat`` makes.

    Raises:
        RequestError: A field is missing, mistyped, out of range or not offered.
    """
    asked = wire.decode(body, _chat_body)
    text = asked.model_text()
    name = parse_name(asked)
    turns = asked.messages or []
    tools, is_parallel = parse_tools(asked.tools), asked.parallel_tool_calls is not False
    request = InferenceRequest(
        model=name,
        messages=tuple(parse_turn(turn, index) for index, turn in enumerate(turns)),
        options=parse_options(asked.options or {}),
        keep_alive=parse_keep_alive(asked.keep_alive),
        terms=_terms(asked),
        shifts=asked.shift is True,
        truncates=asked.truncate is True,
        constraint=_constraint(asked),
        n_logprobs=constraints.n_logprobs(asked.logprobs, asked.top_logprobs),
        tools=tools,
        tool_choice=parse_tool_choice(asked.tool_choice, tools, is_parallel=is_parallel),
        think=parse_think(asked.think),
        adapters=parse_adapters(asked.lora),
    )
    return Call(
        request,
        text,
        is_chat=True,
        stream=asked.stream is not False,
        is_empty=not turns,
        reports_cache=bool(asked.cache_report),
        only_renders=bool(asked.debug_render_only),
    )


def parse_name(body: ModelBody) -> ModelName:
    """Return the model that ``body`` names.

    Raises:
        RequestError: It names none, or the name cannot be parsed.
    """
    text = body.model_text()
    if not text:
        raise InvalidRequest("model is required", param="model")
    return named(text, "invalid model name")


def _terms(asked: _AnswerBody) -> Terms:
    return parse_terms(
        asked.priority,
        asked.deadline_s,
        is_deterministic=asked.deterministic is True,
        cache=asked.cache,
        conversation=asked.conversation,
    )


def _constraint(asked: _AnswerBody) -> Constraint | None:
    form = constraints.of_ollama(asked.format)
    return constraints.one_of(form, grammar=asked.grammar, regex=asked.regex, lark=asked.lark)


def token_ids(tokens: list[int], field: str) -> tuple[int, ...]:
    """Return ``tokens`` if they can be some model's.

    Raises:
        InvalidRequest: One cannot; the message names ``field``.
    """
    if not all(0 <= token <= _MAX_TOKEN_ID for token in tokens):
        raise InvalidRequest(
            f"{field} must hold token ids in [0, {_MAX_TOKEN_ID}]",
            hint="send back the tokens of an earlier answer as they came",
            param=field,
        )
    return tuple(tokens)


# Answers


class Answer(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A whole answer, or the last chunk of one: ``response`` of a generate, ``message`` of a chat.

    Durations are in nanoseconds; what is zero is left out.  ``shifted_tokens`` and
    ``dropped_messages`` are ours: what the answer and the prompt lost, where ``shift`` and
    ``truncate`` allowed it; so are ``draft_count`` and ``draft_accepted_count``: tokens guessed
    beforehand, and those guessed right.  ``prompt_eval_cached_count`` is our
    own: how many tokens of ``prompt_eval_count`` were not computed, since the cache had them.
    """

    model: str
    created_at: str
    response: str | msgspec.UnsetType = msgspec.UNSET
    thinking: str = ""
    message: ReplyMessage | msgspec.UnsetType = msgspec.UNSET
    done: bool
    done_reason: str
    context: tuple[int, ...] = ()
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_cached_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0
    draft_count: int = 0
    draft_accepted_count: int = 0
    shifted_tokens: int = 0
    dropped_messages: int = 0
    cache: CacheFacts | msgspec.UnsetType = msgspec.UNSET
    logprobs: list[dict[str, Any]] = []


class ErrorBody(msgspec.Struct, omit_defaults=True):
    """Every error; ``error`` is a string, and clients stop at its mere presence.

    ``queue_position`` is the place that a request would have had for which no place was left.
    """

    error: str
    code: str
    hint: str = ""
    queue_position: int = 0


def error_body(error: CorralError) -> ErrorBody:
    """Return ``error`` in Ollama's form, with the stable code and the hint beside it."""
    position = getattr(error, "position", 0)
    return ErrorBody(error.message or "internal error", error.code, error.hint, position)


def whole(call: Call, events: Sequence[Event], *, at_ns: int) -> bytes:
    """Return the answer to a call without ``stream``, as JSON.

    ``events`` are all of it, ``at_ns`` is its time, in nanoseconds since the epoch.

    Raises:
        WorkerError: The answer was cut off.
    """
    (told,) = gathered(events)
    answer = _answer(call, rfc3339(at_ns), told, _metrics(call, told.end))
    answer.logprobs = [constraints.ollama_logprob(each) for each in told.logprobs]
    return wire.encode(answer)


def resident(call: Call, reason: str, *, at_ns: int) -> bytes:
    """Return the answer to a call with nothing to answer; ``reason`` is ``load`` or ``unload``."""
    return wire.encode(_answer(call, rfc3339(at_ns), WholeAnswer(), {"done_reason": reason}))


def _answer(call: Call, created_at: str, said: WholeAnswer, metrics: dict[str, Any]) -> Answer:
    return Answer(
        model=call.model,
        created_at=created_at,
        response=msgspec.UNSET if call.is_chat else said.text,
        thinking="" if call.is_chat else said.thinking,
        message=reply(said) if call.is_chat else msgspec.UNSET,
        done=True,
        **metrics,
    )


def _metrics(call: Call, finished: Finished) -> dict[str, Any]:
    usage, timings = finished.usage, finished.timings
    reason = finish_word(finished)
    return {
        # An answer that calls tools ends like any other here.
        "done_reason": "stop" if reason == FinishReason.TOOL_CALLS else reason,
        "context": finished.context,
        "total_duration": nanoseconds(timings.total_s),
        "load_duration": nanoseconds(timings.load_s),
        "prompt_eval_count": usage.n_prompt,
        "prompt_eval_cached_count": usage.n_cached,
        "prompt_eval_duration": nanoseconds(timings.prompt_s),
        "eval_count": usage.n_generated,
        "eval_duration": nanoseconds(timings.decode_s),
        "draft_count": usage.n_drafted,
        "draft_accepted_count": usage.n_accepted,
        "shifted_tokens": finished.n_shifted,
        "dropped_messages": finished.n_dropped,
        "cache": cache_facts(finished) if call.reports_cache else msgspec.UNSET,
    }


class AnswerEncoder:
    """Turns the events of one answer into lines of JSON.

    Called for every token of every stream, so all that repeats is encoded once: a chunk is a
    join of five byte strings.
    """

    content_type = STREAM_CONTENT_TYPE
    ping = b""  # clients take every line for an object

    def __init__(self, call: Call, *, clock: Callable[[], int] = time.time_ns) -> None:
        self._call = call
        self._clock = clock  # nanoseconds since the epoch
        self._second = -1
        self._stamp = b""
        self._calls: dict[int, CalledTool] = {}
        self._head = b'{"model":' + wire.encode(call.model) + b',"created_at":"'
        if call.is_chat:
            self._before = b'","message":{"role":"assistant","content":'
            self._after = b'},"done":false}\n'
            self._thinks = self._before + b'"","thinking":'
        else:
            self._before = b'","response":'
            self._after = b',"done":false}\n'
            self._thinks = self._before + b'"","thinking":'

    def encode(self, event: Event) -> bytes:
        """Return the lines that tell ``event``; a call is told whole, once all of it has come.

        Raises:
            WorkerError: The event says that the answer was cut off.
        """
        match event:
            case Begun() | Reached():
                return b""
            case TextDelta():
                text = wire.encode(event.text)
                after = self._after_logprobs(event.logprobs) if event.logprobs else self._after
                return b"".join((self._head, self._now(), self._before, text, after))
            case ThinkingDelta():
                text = wire.encode(event.text)
                return b"".join((self._head, self._now(), self._thinks, text, self._after))
            case ToolCallDelta():
                return self._take_call(event)
            case Finished():
                metrics = _metrics(self._call, event)
                last = _answer(self._call, self._now().decode(), WholeAnswer(), metrics)
                return self._tell_calls() + wire.encode(last) + b"\n"

    def _take_call(self, piece: ToolCallDelta) -> bytes:
        """Put a call together; return the line of the one before it, when this one is new."""
        old = self._calls.get(piece.index)
        told = b"" if old else self._tell_calls()
        before = old or CalledTool(piece.id, piece.name, "")
        arguments = before.arguments + piece.arguments
        self._calls[piece.index] = CalledTool(before.id, before.name, arguments)
        return told

    def _tell_calls(self) -> bytes:
        """The line of the calls that have ended; of a generate, which has no place, none.

        One that was cut or broken has no arguments to show: it is text.
        """
        calls, self._calls = self._calls, {}
        if not calls or not self._call.is_chat:
            return b""
        bodies = [call_body(index, call) for index, call in calls.items() if call.is_whole]
        rest = "".join(call.as_text for call in calls.values() if not call.is_whole)
        told = wire.encode(rest) + (b',"tool_calls":' + wire.encode(bodies) if bodies else b"")
        return b"".join((self._head, self._now(), self._before, told, self._after))

    def _after_logprobs(self, logprobs: Sequence[TokenLogprob]) -> bytes:
        told = wire.encode([constraints.ollama_logprob(each) for each in logprobs])
        return self._after.replace(b"\n", b"")[:-1] + b',"logprobs":' + told + b"}\n"

    def error(self, error: CorralError) -> bytes:
        """Return the line that ends a stream which failed on its way."""
        return wire.encode(error_body(error)) + b"\n"

    def _now(self) -> bytes:
        second, nanos = divmod(self._clock(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        return b"%b.%09dZ" % (self._stamp, nanos)


def rfc3339(time_ns: int) -> str:
    """Return a moment as Go writes it, in UTC with nine digits after the point."""
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    day, second = divmod(seconds, 86_400)
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    return f"{_date(day)}T{clock}.{nanos:09d}Z"


@lru_cache(maxsize=1 << 10)  # a list of thousands tells as many moments, of few days
def _date(day: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(day * 86_400))


def nanoseconds(seconds: float) -> int:
    """Return a span as Go's ``time.Duration`` counts it."""
    return round(seconds * 1e9)

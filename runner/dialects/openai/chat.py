"""``POST /v1/chat/completions``, with the sampling options of llama.cpp beside OpenAI's own.

Fields that would change the answer and that this version cannot honour are refused with their
name, never dropped.  What a request leaves out falls to the model's own parameters.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from runner.dialects import constraints, wire
from runner.dialects.fields import (
    AdapterBody,
    cache_facts,
    finish_word,
    parse_adapters,
    parse_keep_alive,
)
from runner.dialects.openai import functions
from runner.dialects.openai.counts import ProgressBody, Speedometer, timings, usage_object
from runner.dialects.openai.errors import error_body
from runner.dialects.openai.sampling import OPTION_FIELDS
from runner.dialects.openai.turns import (
    TurnBody,
    call_delta,
    message_object,
    parse_think,
    parse_turn,
    unsupported,
)
from runner.dialects.terms import parse_terms
from runner.dialects.tools import parse_tool_choice, parse_tools
from runner.dialects.whole import gathered
from runner.domain.chat import Tool
from runner.domain.event import (
    Begun,
    Event,
    Finished,
    Reached,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from runner.domain.name import ModelName
from runner.domain.options import Options, parse_options
from runner.domain.request import Constraint, InferenceRequest, ToolChoice
from runner.errors import CorralError, InvalidRequest

CONTENT_TYPE = "application/json"
STREAM_CONTENT_TYPE = "text/event-stream"

#: Status that an error would have had, had it come before the first byte.
_MID_STREAM_STATUS = 500

_ROLE = b'"role":"assistant",'
#: Most answers to one request.
MAX_CHOICES = 16
#: Fields that are refused unless they are absent, null, false, 0 or empty.
_NOT_OFFERED = (
    "audio",
    "web_search_options",
    # vLLM's, which would change the form of the answer
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
)


# Requests


class StreamOptions(msgspec.Struct):
    """``stream_options``."""

    include_usage: bool | None = None


class ChatBody(msgspec.Struct):
    """The body; numbers are checked for their range with the other options.

    ``shift`` and ``truncate`` are Ollama's: what may be lost where the context is too small.
    """

    model: str
    messages: list[TurnBody]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | float | None = None
    stop: str | list[str] | None = None
    top_k: int | float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | float | None = None
    ignore_eos: bool | None = None
    num_ctx: int | float | None = None
    samplers: str | list[str] | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    top_n_sigma: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | float | None = None
    dry_penalty_last_n: int | float | None = None
    dry_sequence_breakers: str | list[str] | None = None
    mirostat: int | float | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    adaptive_target: float | None = None
    adaptive_decay: float | None = None
    banned_strings: str | list[str] | None = None
    min_tokens: int | float | None = None
    speculate: str | bool | None = None
    draft_num_predict: int | float | None = None
    keep_alive: Any = None
    priority: str | None = None
    deadline_s: float | None = None
    deterministic: bool | None = None
    conversation: str | None = None
    n: int | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    functions: list[Any] | None = None
    function_call: Any = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, Any] | list[Any] | None = None
    modalities: list[str] | None = None
    audio: Any = None
    web_search_options: Any = None
    reasoning_effort: Any = None
    reasoning: dict[str, Any] | None = None
    thinking_budget_tokens: int | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    enable_thinking: bool | None = None
    guided_json: Any = None
    guided_regex: Any = None
    guided_choice: Any = None
    guided_grammar: Any = None
    structured_outputs: Any = None
    grammar: Any = None
    regex: Any = None
    lark: Any = None
    json_schema: Any = None
    cache: Any = None
    cache_report: bool | None = None
    timings_per_token: bool | None = None
    return_progress: bool | None = None
    lora: list[AdapterBody] | None = None
    shift: bool | None = None
    truncate: bool | None = None


_chat_body = msgspec.json.Decoder(ChatBody)


@dataclass(frozen=True, slots=True)
class Call:
    """What one chat completion asks for; ``model`` as the caller wrote it.

    ``reports_cache``: the answer shall tell what the cache had; ``tells_timings`` and
    ``tells_progress``: how fast it comes, and how far its prompt is; ``in_old_form``: its tools
    came as ``functions``, and so do its calls.
    """

    request: InferenceRequest
    model: str
    stream: bool
    include_usage: bool
    reports_cache: bool = False
    tells_timings: bool = False
    tells_progress: bool = False
    in_old_form: bool = False


def parse(body: bytes) -> Call:
    """Return the call that a body makes.

    Raises:
        RequestError: A field is missing, mistyped, out of range or not offered; ``param`` names it.
    """
    asked = wire.decode(body, _chat_body)
    if not asked.model:
        raise InvalidRequest("model is required", param="model")
    name = ModelName.parse(asked.model)
    if not asked.messages:
        raise InvalidRequest("[] is too short - 'messages'", param="messages")
    _refuse_what_is_not_offered(asked)
    tools, tool_choice = _tools(asked)
    think, n_think_max = parse_think(
        asked.reasoning_effort,
        asked.reasoning,
        asked.chat_template_kwargs,
        asked.enable_thinking,
        asked.thinking_budget_tokens,
    )
    request = InferenceRequest(
        model=name,
        messages=tuple(parse_turn(turn, f"messages[{i}]") for i, turn in enumerate(asked.messages)),
        options=_options(asked),
        keep_alive=parse_keep_alive(asked.keep_alive),
        terms=parse_terms(
            asked.priority,
            asked.deadline_s,
            is_deterministic=asked.deterministic is True,
            cache=asked.cache,
            conversation=asked.conversation,
        ),
        n=_n_choices(asked.n),
        constraint=_constraint(asked),
        n_logprobs=_n_logprobs(asked),
        tools=tools,
        tool_choice=tool_choice,
        think=think,
        n_think_max=n_think_max,
        tells_progress=bool(asked.stream and (asked.timings_per_token or asked.return_progress)),
        adapters=parse_adapters(asked.lora),
        shifts=asked.shift is True,
        truncates=asked.truncate is True,
    )
    include_usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
    return Call(
        request,
        asked.model,
        stream=bool(asked.stream),
        include_usage=include_usage,
        reports_cache=bool(asked.cache_report),
        tells_timings=bool(asked.timings_per_token),
        tells_progress=bool(asked.return_progress),
        in_old_form=bool(asked.functions),
    )


def _n_choices(n: int | None) -> int:
    if n is not None and not 1 <= n <= MAX_CHOICES:
        raise InvalidRequest(f"n must be in [1, {MAX_CHOICES}], not {n}", param="n")
    return n or 1


def _constraint(asked: ChatBody) -> Constraint | None:
    form = constraints.of_response_format(asked.response_format)
    if asked.json_schema is not None and form is None:  # llama-server's field
        form = constraints.of_schema(asked.json_schema, "json_schema")
    return constraints.one_of(form, grammar=asked.grammar, regex=asked.regex, lark=asked.lark)


def _n_logprobs(asked: ChatBody) -> int | None:
    n_logprobs = constraints.n_logprobs(asked.logprobs, asked.top_logprobs)
    if asked.top_logprobs and n_logprobs is None:
        raise InvalidRequest(
            "top_logprobs needs logprobs", hint='send "logprobs": true', param="top_logprobs"
        )
    return n_logprobs


def _options(asked: ChatBody) -> Options:
    raw: dict[str, Any] = {name: getattr(asked, name) for name in OPTION_FIELDS}
    limit = "max_tokens" if asked.max_completion_tokens is None else "max_completion_tokens"
    raw["num_predict"] = getattr(asked, limit)
    try:
        return parse_options(raw)
    except InvalidRequest as error:
        if error.param != "num_predict":
            raise
        message = error.message.replace("num_predict", limit)
        raise InvalidRequest(message, hint=error.hint, param=limit) from None


def _tools(asked: ChatBody) -> tuple[tuple[Tool, ...], ToolChoice]:
    """What may be called, and whether it must, in the newer form or in the older."""
    if not asked.functions and asked.function_call in (None, "auto", "none"):
        tools, is_parallel = parse_tools(asked.tools), asked.parallel_tool_calls is not False
        return tools, parse_tool_choice(asked.tool_choice, tools, is_parallel=is_parallel)
    if asked.tools:
        raise InvalidRequest(
            "functions and tools cannot come together", hint="send tools alone", param="functions"
        )
    return functions.parse_offer(asked.functions, asked.function_call)


def _refuse_what_is_not_offered(asked: ChatBody) -> None:
    for field in _NOT_OFFERED:
        if getattr(asked, field):
            raise unsupported(field, f"{field} is not offered")
    if asked.modalities is not None and asked.modalities != ["text"]:
        raise unsupported("modalities", "only text is offered")


# Answers


def new_id() -> str:
    """Return an id that no other answer has."""
    return f"chatcmpl-{secrets.token_hex(12)}"


def whole(call: Call, events: Sequence[Event], *, answer_id: str, created: int) -> bytes:
    """Return the answer to a call without ``stream``.

    ``events`` are all of it, ``created`` is its time, in seconds since the epoch.

    Raises:
        WorkerError: The answer was cut off.
    """
    usage = Usage()
    choices = []
    told = gathered(events, call.request.n)
    for index, reply in enumerate(told):
        usage = usage.plus(reply.end.usage)
        logprobs = None if call.request.n_logprobs is None else _logprobs(reply.logprobs)
        reason = finish_word(reply.end)
        choices.append(
            {
                "index": index,
                "message": message_object(reply, in_old_form=call.in_old_form),
                "logprobs": logprobs,
                "finish_reason": functions.word(reason) if call.in_old_form else reason,
            }
        )
    answer = _head(call, "chat.completion", answer_id, created)
    answer |= {"choices": choices, "usage": usage_object(usage)}
    if call.reports_cache:
        answer["cache"] = cache_facts(told[0].end)
    if call.tells_timings:
        answer["timings"] = timings(told[0].end)
    return wire.encode(answer)


def _logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
    return {"content": [constraints.openai_logprob(each) for each in logprobs], "refusal": None}


def _head(call: Call, kind: str, answer_id: str, created: int) -> dict[str, Any]:
    return {
        "id": answer_id,
        "object": kind,
        "created": created,
        "model": call.model,
        "system_fingerprint": "fp_corral",
    }


class ChunkEncoder:
    """Turns the events of one answer into server-sent events.

    Called for every token of every stream, so all that repeats is encoded once.  The role comes
    first, in a chunk without text, or with a call; the usage, when asked for, last, in a chunk
    without choices, and is null in the others.
    """

    content_type = STREAM_CONTENT_TYPE
    ping = b": ping\n\n"  # a comment, which clients pass over

    def __init__(self, call: Call, *, answer_id: str, created: int) -> None:
        self._include_usage, self._in_old_form = call.include_usage, call.in_old_form
        self._reports_cache = call.reports_cache
        head = wire.encode(_head(call, "chat.completion.chunk", answer_id, created))
        self._head = b"data: " + head[:-1]
        before = self._head + (b',"usage":null' if call.include_usage else b"")
        self._choices = [
            before + b',"choices":[{"index":%d,"delta":{' % index for index in range(call.request.n)
        ]
        self._has_role = [False] * call.request.n  # comes once for each choice
        self._after = b'},"logprobs":null,"finish_reason":null}]}\n\n'
        self._tells_timings, self._tells_progress = call.tells_timings, call.tells_progress
        self._speeds = [Speedometer() for _ in range(call.request.n)]
        self._usage = Usage()
        self._n_left = call.request.n

    def encode(self, event: Event) -> bytes:
        """Return the frames that tell ``event``; the last one's end with ``[DONE]``.

        Raises:
            WorkerError: The event says that the answer was cut off.
        """
        match event:
            case Begun():
                return self._progress(event.choice, self._speeds[event.choice].begin(event))
            case Reached():
                return self._progress(event.choice, self._speeds[event.choice].reach(event))
            case TextDelta():
                after = self._after_logprobs(event.logprobs) if event.logprobs else self._after
                content = b'"content":' + wire.encode(event.text)
                return self._chunk(event.choice, content, after)
            case ThinkingDelta():
                text = wire.encode(event.text)
                both = b'"reasoning_content":' + text + b',"reasoning":' + text
                return self._chunk(event.choice, both, self._after)
            case ToolCallDelta():
                return self._call(event)
            case Finished():
                return self._end(event)

    def _chunk(self, choice: int, delta: bytes, after: bytes) -> bytes:
        role = self._role(choice)
        if self._tells_timings:
            after = _with(after, "timings", self._speeds[choice].timings)
        return b"".join((role, self._choices[choice], delta, after))

    def _role(self, choice: int, content: bytes = b"null") -> bytes:
        """The chunk that opens an answer, if none has yet."""
        if self._has_role[choice]:
            return b""
        self._has_role[choice] = True
        delta = b'%b"content":%b,"refusal":null' % (_ROLE, content)
        return self._choices[choice] + delta + self._after

    def _call(self, event: ToolCallDelta) -> bytes:
        opening = b"" if self._has_role[event.choice] else _ROLE + b'"content":null,'
        self._has_role[event.choice] = True
        if self._in_old_form:
            piece = b'"function_call":' + wire.encode(functions.call_piece(event))
        else:
            piece = b'"tool_calls":' + wire.encode([call_delta(event)])
        return self._chunk(event.choice, opening + piece, self._after)

    def _progress(self, choice: int, progress: ProgressBody | None) -> bytes:
        """Tell how much of a prompt is computed, where that was asked for."""
        if progress is None or not self._tells_progress:
            return b""
        after = _with(self._after, "prompt_progress", progress)
        return self._chunk(choice, b'"content":""', after)

    def _end(self, event: Finished) -> bytes:
        choice, reason = event.choice, finish_word(event)
        reason = functions.word(reason) if self._in_old_form else reason
        frames = [self._role(choice, b'""')]  # an empty answer opens with its role, too
        ending = b'},"logprobs":null,"finish_reason":"%b"}]}\n\n' % reason.encode()
        last = self._choices[choice] + ending
        if self._reports_cache:
            last = _with(last, "cache", cache_facts(event))
        frames.append(_with(last, "timings", timings(event)) if self._tells_timings else last)
        self._usage = self._usage.plus(event.usage)
        self._n_left -= 1
        if self._n_left:
            return b"".join(frames)
        if self._include_usage:
            usage = wire.encode(usage_object(self._usage))
            frames.append(self._head + b',"choices":[],"usage":' + usage + b"}\n\n")
        frames.append(b"data: [DONE]\n\n")
        return b"".join(frames)

    def _after_logprobs(self, logprobs: Sequence[TokenLogprob]) -> bytes:
        return b'},"logprobs":' + wire.encode(_logprobs(logprobs)) + b',"finish_reason":null}]}\n\n'

    def error(self, error: CorralError) -> bytes:
        """Return the frames that end a stream which failed on its way."""
        body = wire.encode(error_body(error, _MID_STREAM_STATUS))
        return b"data: " + body + b"\n\ndata: [DONE]\n\n"


def _with(frame: bytes, field: str, value: msgspec.Struct) -> bytes:
    """Return a frame, or the end of one, with one more field of its object."""
    return b'%b,"%b":%b}\n\n' % (frame.removesuffix(b"}\n\n"), field.encode(), wire.encode(value))

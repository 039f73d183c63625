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

from runner.dialects import wire
from runner.dialects.fields import finish_word, parse_keep_alive
from runner.dialects.openai.errors import error_body
from runner.dialects.openai.turns import (
    TurnBody,
    call_delta,
    message_object,
    parse_effort,
    parse_tool_choice,
    parse_turn,
    unsupported,
)
from runner.dialects.tools import parse_tools
from runner.dialects.whole import gathered
from runner.domain.event import Event, Finished, TextDelta, ThinkingDelta, ToolCallDelta, Usage
from runner.domain.name import ModelName
from runner.domain.options import Options, parse_options
from runner.domain.request import InferenceRequest, Think, ToolChoice
from runner.errors import CorralError, InvalidRequest

CONTENT_TYPE = "application/json"
STREAM_CONTENT_TYPE = "text/event-stream"

#: Status that an error would have had, had it come before the first byte.
_MID_STREAM_STATUS = 500

#: Fields that are taken as they are, under the same name.
_OPTIONS = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "top_k",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "repeat_last_n",
    "ignore_eos",
    "num_ctx",
)
#: Fields that are refused unless they are absent, null, false, 0 or empty.
_NOT_OFFERED = (
    "functions",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "audio",
    "web_search_options",
    "grammar",
    "json_schema",
)


# Requests


class StreamOptions(msgspec.Struct):
    """``stream_options``."""

    include_usage: bool | None = None


class ChatBody(msgspec.Struct):
    """The body; numbers are checked for their range with the other options."""

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
    keep_alive: Any = None
    n: int | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, Any] | None = None
    modalities: list[str] | None = None
    audio: Any = None
    web_search_options: Any = None
    reasoning_effort: Any = None
    reasoning: dict[str, Any] | None = None
    grammar: Any = None
    json_schema: Any = None


_chat_body = msgspec.json.Decoder(ChatBody)


@dataclass(frozen=True, slots=True)
class Call:
    """What one chat completion asks for; ``model`` as the caller wrote it."""

    request: InferenceRequest
    model: str
    stream: bool
    include_usage: bool


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
    request = InferenceRequest(
        model=name,
        messages=tuple(parse_turn(turn, f"messages[{i}]") for i, turn in enumerate(asked.messages)),
        options=_options(asked),
        keep_alive=parse_keep_alive(asked.keep_alive),
        tools=parse_tools(asked.tools),
        tool_choice=_tool_choice(asked),
        think=_think(asked),
    )
    include_usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
    return Call(request, asked.model, stream=bool(asked.stream), include_usage=include_usage)


def _options(asked: ChatBody) -> Options:
    raw: dict[str, Any] = {name: getattr(asked, name) for name in _OPTIONS}
    limit = "max_tokens" if asked.max_completion_tokens is None else "max_completion_tokens"
    raw["num_predict"] = getattr(asked, limit)
    try:
        return parse_options(raw)
    except InvalidRequest as error:
        if error.param != "num_predict":
            raise
        message = error.message.replace("num_predict", limit)
        raise InvalidRequest(message, hint=error.hint, param=limit) from None


def _tool_choice(asked: ChatBody) -> ToolChoice:
    is_parallel = asked.parallel_tool_calls is not False
    choice = parse_tool_choice(asked.tool_choice, is_parallel=is_parallel)
    if choice.mode in ("required", "named") and not asked.tools:
        raise InvalidRequest("tool_choice needs tools", param="tool_choice")
    return choice


def _think(asked: ChatBody) -> Think:
    if asked.reasoning_effort is None and asked.reasoning:
        return parse_effort(asked.reasoning.get("effort"), "reasoning.effort")
    return parse_effort(asked.reasoning_effort, "reasoning_effort")


def _refuse_what_is_not_offered(asked: ChatBody) -> None:
    if asked.n is not None and asked.n < 1:
        raise InvalidRequest(f"n must be at least 1, not {asked.n}", param="n")
    if asked.n is not None and asked.n > 1:
        raise unsupported("n", f"n = {asked.n}: only one choice is offered")
    for field in _NOT_OFFERED:
        if getattr(asked, field):
            raise unsupported(field, f"{field} is not offered")
    kind = (asked.response_format or {"type": "text"}).get("type")
    if kind != "text":
        raise unsupported("response_format", "only response_format of type 'text' is offered")
    if asked.modalities is not None and asked.modalities != ["text"]:
        raise unsupported("modalities", "only text is offered")


# Answers


def new_id() -> str:
    """Return an id that no other answer has."""
    return f"chatcmpl-{secrets.token_hex(12)}"


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return token counts as OpenAI shows them."""
    return {
        "prompt_tokens": usage.n_prompt,
        "completion_tokens": usage.n_generated,
        "total_tokens": usage.n_prompt + usage.n_generated,
        "prompt_tokens_details": {"cached_tokens": usage.n_cached},
    }


def whole(
    call: Call, events: Sequence[Event], finished: Finished, *, answer_id: str, created: int
) -> bytes:
    """Return the answer to a call without ``stream``.

    ``events`` are all of it, ``created`` is its time, in seconds since the epoch.

    Raises:
        WorkerError: The answer was cut off.
    """
    choice = {
        "index": 0,
        "message": message_object(gathered(events)),
        "logprobs": None,
        "finish_reason": finish_word(finished),
    }
    head = _head(call, "chat.completion", answer_id, created)
    return wire.encode(head | {"choices": [choice], "usage": usage_object(finished.usage)})


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
    with the first chunk only; the usage, when asked for, in a chunk of its own without choices.
    """

    content_type = STREAM_CONTENT_TYPE

    def __init__(self, call: Call, *, answer_id: str, created: int) -> None:
        self._include_usage = call.include_usage
        head = wire.encode(_head(call, "chat.completion.chunk", answer_id, created))
        self._head = b"data: " + head[:-1]
        self._choice = self._head + b',"choices":[{"index":0,"delta":{'
        self._role = b'"role":"assistant",'  # comes once
        self._after = b'},"logprobs":null,"finish_reason":null}]}\n\n'
        self._last = self._choice + b'},"logprobs":null,"finish_reason":"'

    def encode(self, event: Event) -> bytes:
        """Return the frames that tell ``event``; the last one's end with ``[DONE]``.

        Raises:
            WorkerError: The event says that the answer was cut off.
        """
        match event:
            case TextDelta():
                return self._chunk(b'"content":' + wire.encode(event.text))
            case ThinkingDelta():
                text = wire.encode(event.text)
                return self._chunk(b'"reasoning_content":' + text + b',"reasoning":' + text)
            case ToolCallDelta():
                content = b'"content":null,' if self._role else b""
                calls = wire.encode([call_delta(event)])
                return self._chunk(content + b'"tool_calls":' + calls)
            case Finished():
                return self._end(event)

    def _chunk(self, delta: bytes) -> bytes:
        role, self._role = self._role, b""
        return b"".join((self._choice, role, delta, self._after))

    def _end(self, event: Finished) -> bytes:
        reason = finish_word(event).encode()
        frames = []
        if self._role:  # an empty answer opens with its role, too
            frames.append(self._chunk(b'"content":""'))
        frames.append(self._last + reason + b'"}]}\n\n')
        if self._include_usage:
            usage = wire.encode(usage_object(event.usage))
            frames.append(self._head + b',"choices":[],"usage":' + usage + b"}\n\n")
        frames.append(b"data: [DONE]\n\n")
        return b"".join(frames)

    def error(self, error: CorralError) -> bytes:
        """Return the frames that end a stream which failed on its way."""
        body = wire.encode(error_body(error, _MID_STREAM_STATUS))
        return b"data: " + body + b"\n\ndata: [DONE]\n\n"

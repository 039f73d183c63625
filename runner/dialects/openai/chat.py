"""``POST /v1/chat/completions``, with the sampling options of llama.cpp beside OpenAI's own.

Fields that would change the answer and that this version cannot honour are refused with their
name, never dropped.  What a request leaves out falls to the model's own parameters.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import msgspec

from runner.dialects import wire
from runner.dialects.fields import cache_facts, finish_word, parse_keep_alive
from runner.dialects.openai.errors import error_body
from runner.dialects.terms import parse_terms
from runner.domain.chat import Message
from runner.domain.event import Event, Finished, TextDelta, Usage
from runner.domain.name import ModelName
from runner.domain.options import Options, parse_options
from runner.domain.request import InferenceRequest
from runner.errors import CorralError, InvalidRequest, Unsupported

CONTENT_TYPE = "application/json"
STREAM_CONTENT_TYPE = "text/event-stream"

#: Status that an error would have had, had it come before the first byte.
_MID_STREAM_STATUS = 500

_ROLES = {
    "system": "system",
    "developer": "system",  # the newer name of the same thing
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_TEXT_PARTS = {"text": "text", "input_text": "text", "refusal": "refusal"}

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
    "tools",
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


class TurnBody(msgspec.Struct):
    """One message."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[Any] | None = None
    function_call: Any = None


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
    priority: str | None = None
    deadline_s: float | None = None
    deterministic: bool | None = None
    n: int | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, Any] | None = None
    modalities: list[str] | None = None
    audio: Any = None
    web_search_options: Any = None
    reasoning_effort: str | None = None
    grammar: Any = None
    json_schema: Any = None
    cache: Any = None
    cache_report: bool | None = None


_chat_body = msgspec.json.Decoder(ChatBody)


@dataclass(frozen=True, slots=True)
class Call:
    """What one chat completion asks for; ``model`` as the caller wrote it.

    ``reports_cache``: the answer shall tell what the cache had.
    """

    request: InferenceRequest
    model: str
    stream: bool
    include_usage: bool
    reports_cache: bool = False


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
        messages=tuple(_message(turn, f"messages[{i}]") for i, turn in enumerate(asked.messages)),
        options=_options(asked),
        keep_alive=parse_keep_alive(asked.keep_alive),
        terms=parse_terms(
            asked.priority,
            asked.deadline_s,
            is_deterministic=asked.deterministic is True,
            cache=asked.cache,
        ),
    )
    include_usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
    return Call(
        request,
        asked.model,
        stream=bool(asked.stream),
        include_usage=include_usage,
        reports_cache=bool(asked.cache_report),
    )


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


def _message(turn: TurnBody, where: str) -> Message:
    role = _ROLES.get(turn.role)
    if role is None:
        raise InvalidRequest(
            f"{where}.role must be one of {', '.join(_ROLES)}", param=f"{where}.role"
        )
    for field in ("tool_calls", "function_call"):
        if getattr(turn, field):
            raise _unsupported(f"{where}.{field}", "tool calls are not offered")
    if turn.content is None and role != "assistant":
        raise InvalidRequest(f"'{where}.content' is required", param=f"{where}.content")
    if isinstance(turn.content, list):
        parts = (_part(part, f"{where}.content[{i}]") for i, part in enumerate(turn.content))
        return Message(role, "\n".join(parts))
    return Message(role, turn.content or "")


def _part(part: dict[str, Any], where: str) -> str:
    kind = part.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest(f"'{where}.type' is required", param=f"{where}.type")
    if kind not in _TEXT_PARTS:
        raise _unsupported(f"{where}.type", f"content of type '{kind[:40]}' is not offered")
    text = part.get(_TEXT_PARTS[kind])
    if not isinstance(text, str):
        field = f"{where}.{_TEXT_PARTS[kind]}"
        raise InvalidRequest(f"'{field}' must be a string", param=field)
    return text


def _refuse_what_is_not_offered(asked: ChatBody) -> None:
    if asked.n is not None and asked.n < 1:
        raise InvalidRequest(f"n must be at least 1, not {asked.n}", param="n")
    if asked.n is not None and asked.n > 1:
        raise _unsupported("n", f"n = {asked.n}: only one choice is offered")
    for field in _NOT_OFFERED:
        if getattr(asked, field):
            raise _unsupported(field, f"{field} is not offered")
    if asked.tool_choice not in (None, "none", "auto"):
        raise InvalidRequest("tool_choice needs tools", param="tool_choice")
    kind = (asked.response_format or {"type": "text"}).get("type")
    if kind != "text":
        raise _unsupported("response_format", "only response_format of type 'text' is offered")
    if asked.modalities is not None and asked.modalities != ["text"]:
        raise _unsupported("modalities", "only text is offered")
    if asked.reasoning_effort not in (None, "none"):
        raise _unsupported("reasoning_effort", "reasoning is not offered")


def _unsupported(param: str, message: str) -> Unsupported:
    return Unsupported(
        message,
        hint=f"this version of Corral cannot honour '{param}'; leave it out",
        param=param,
    )


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


def whole(call: Call, text: str, finished: Finished, *, answer_id: str, created: int) -> bytes:
    """Return the answer to a call without ``stream``; ``created`` in seconds since the epoch.

    Raises:
        WorkerError: The answer was cut off.
    """
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        "finish_reason": finish_word(finished),
    }
    answer = _head(call, "chat.completion", answer_id, created)
    answer |= {"choices": [choice], "usage": usage_object(finished.usage)}
    if call.reports_cache:
        answer["cache"] = cache_facts(finished)
    return wire.encode(answer)


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
        self._reports_cache = call.reports_cache
        head = wire.encode(_head(call, "chat.completion.chunk", answer_id, created))
        self._head = b"data: " + head[:-1]
        choice = self._head + b',"choices":[{"index":0,"delta":'
        self._first = choice + b'{"role":"assistant","content":'
        self._next = choice + b'{"content":'
        self._before = self._first
        self._after = b'},"logprobs":null,"finish_reason":null}]}\n\n'
        self._last = choice + b'{},"logprobs":null,"finish_reason":"'

    def encode(self, event: Event) -> bytes:
        """Return the frames that tell ``event``; the last one's end with ``[DONE]``.

        Raises:
            WorkerError: The event says that the answer was cut off.
        """
        if isinstance(event, TextDelta):
            before = self._before
            self._before = self._next
            return b"".join((before, wire.encode(event.text), self._after))
        if not isinstance(event, Finished):
            return b""
        reason = finish_word(event).encode()
        frames = []
        if self._before is self._first:  # an empty answer opens with its role, too
            frames.append(self._first + b'""' + self._after)
        told = b',"cache":' + wire.encode(cache_facts(event)) if self._reports_cache else b""
        frames.append(self._last + reason + b'"}]' + told + b"}\n\n")
        if self._include_usage:
            usage = wire.encode(usage_object(event.usage))
            frames.append(self._head + b',"choices":[],"usage":' + usage + b"}\n\n")
        frames.append(b"data: [DONE]\n\n")
        return b"".join(frames)

    def error(self, error: CorralError) -> bytes:
        """Return the frames that end a stream which failed on its way."""
        body = wire.encode(error_body(error, _MID_STREAM_STATUS))
        return b"data: " + body + b"\n\ndata: [DONE]\n\n"

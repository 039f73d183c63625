"""Answers in Anthropic's form: whole, or as a stream of named events.

    message_start, ping, then for each block content_block_start, content_block_delta …,
    content_block_stop, at last message_delta and message_stop

The input is counted in two parts, ``input_tokens`` computed and ``cache_read_input_tokens`` taken
from the cache; their sum is the prompt, whatever the cache had.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from runner.dialects import wire
from runner.dialects.anthropic.errors import error_body
from runner.dialects.anthropic.messages import Call
from runner.dialects.whole import CalledTool
from runner.domain.event import (
    Begun,
    Event,
    Finished,
    FinishReason,
    Reached,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
)
from runner.errors import CorralError, WorkerError

CONTENT_TYPE = "application/json"
STREAM_CONTENT_TYPE = "text/event-stream"

#: Status that an error would have had, had it come before the first byte.
_MID_STREAM_STATUS = 500

_REASONS = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
}


def new_id() -> str:
    """Return an id that no other answer has."""
    return f"msg_{secrets.token_hex(12)}"


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return token counts as Anthropic shows them."""
    return {
        "input_tokens": usage.n_prompt - usage.n_cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.n_cached,
        "output_tokens": usage.n_generated,
        "output_tokens_details": {"thinking_tokens": usage.n_thought},
    }


def count_answer(n_tokens: int) -> bytes:
    """Return the answer to ``count_tokens``."""
    return wire.encode({"input_tokens": n_tokens})


def _stop(call: Call, finished: Finished) -> dict[str, str | None]:
    """Return why the answer ended; only a stop string that the caller gave is named.

    Raises:
        WorkerError: It was cut off.
    """
    if finished.reason is FinishReason.ABORTED:
        raise WorkerError("the answer was cut off before its end", hint="ask again")
    if finished.stop is not None and finished.stop in (call.request.options.stop or ()):
        return {"stop_reason": "stop_sequence", "stop_sequence": finished.stop}
    return {"stop_reason": _REASONS[finished.reason], "stop_sequence": None}


def _message(call: Call, answer_id: str) -> dict[str, Any]:
    return {
        "id": answer_id,
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


@dataclass(slots=True)
class Whole:
    """Gathers the events of an answer without ``stream``."""

    call: Call
    answer_id: str
    _blocks: list[dict[str, Any]] = field(default_factory=list)
    _arguments: list[str] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Take the next event."""
        match event:
            case TextDelta() if event.text:
                self._append("text", "text", event.text)
            case ThinkingDelta() if event.text:
                self._append("thinking", "thinking", event.text)
            case ToolCallDelta():
                if event.name:
                    self._close_call()
                    self._blocks.append(
                        {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
                    )
                self._arguments.append(event.arguments)
            case _:
                pass

    def encode(self, finished: Finished) -> bytes:
        """Return the answer.

        Raises:
            WorkerError: It was cut off.
        """
        self._close_call()
        for block in self._blocks:
            if block["type"] == "thinking":
                block["signature"] = ""
        return wire.encode(
            _message(self.call, self.answer_id)
            | {"content": self._blocks}
            | _stop(self.call, finished)
            | {"usage": usage_object(finished.usage)}
        )

    def _append(self, kind: str, key: str, text: str) -> None:
        self._close_call()
        if not self._blocks or self._blocks[-1]["type"] != kind:
            self._blocks.append({"type": kind, key: ""})
        self._blocks[-1][key] += text

    def _close_call(self) -> None:
        """The arguments of the last call are complete."""
        if self._arguments:
            called = CalledTool("", "", "".join(self._arguments))
            self._blocks[-1]["input"] = called.arguments_object
            self._arguments = []


class Encoder:
    """Turns the events of one answer into server-sent events."""

    content_type = STREAM_CONTENT_TYPE
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'

    def __init__(self, call: Call, *, answer_id: str) -> None:
        self._call = call
        self._answer_id = answer_id
        self._has_started = False
        self._index = -1  # of the open block
        self._open = ""  # its type; empty: none is open

    def encode(self, event: Event) -> bytes:
        """Return the frames that tell ``event``.

        Raises:
            WorkerError: The event says that the answer was cut off.
        """
        match event:
            case Begun():
                return self._start(Usage(event.n_prompt, event.n_cached))
            case Reached():
                return b""
            case TextDelta():
                return self._text("text", event.text) if event.text else b""
            case ThinkingDelta():
                return self._text("thinking", event.text) if event.text else b""
            case ToolCallDelta():
                return self._call_frames(event)
            case Finished():
                return self._end(event)

    def error(self, error: CorralError) -> bytes:
        """Return the frame that ends a stream which failed on its way."""
        body = error_body(error, _MID_STREAM_STATUS)
        return b"event: error\ndata: " + wire.encode(body) + b"\n\n"

    def _start(self, usage: Usage) -> bytes:
        if self._has_started:
            return b""
        self._has_started = True
        message = _message(self._call, self._answer_id) | {"usage": usage_object(usage)}
        return _frame("message_start", message=message) + _frame("ping")

    def _text(self, kind: str, text: str) -> bytes:
        empty: dict[str, Any] = {"type": kind, kind: ""}
        if kind == "thinking":
            empty["signature"] = ""
        head = self._block(kind, empty) if self._open != kind else b""
        return head + self._delta({"type": f"{kind}_delta", kind: text})

    def _call_frames(self, event: ToolCallDelta) -> bytes:
        head = b""
        if event.name:
            block = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
            head = self._block("tool_use", block)
        if not event.arguments:
            return head
        return head + self._delta({"type": "input_json_delta", "partial_json": event.arguments})

    def _block(self, kind: str, block: dict[str, Any]) -> bytes:
        """End the open block, if any, and begin another."""
        before = self._start(Usage()) + self._close()
        self._index += 1
        self._open = kind
        return before + _frame("content_block_start", index=self._index, content_block=block)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _frame("content_block_delta", index=self._index, delta=delta)

    def _close(self) -> bytes:
        if not self._open:
            return b""
        # There is nothing to sign here, but clients keep thoughts only with what signs them.
        is_signed = self._open == "thinking"
        signature = {"type": "signature_delta", "signature": ""}
        self._open = ""
        signed = self._delta(signature) if is_signed else b""
        return signed + _frame("content_block_stop", index=self._index)

    def _end(self, finished: Finished) -> bytes:
        stop = _stop(self._call, finished)
        head = self._start(finished.usage)
        usage = usage_object(finished.usage)
        return b"".join(
            (
                head,
                self._close(),
                _frame("message_delta", delta=stop, usage=usage),
                _frame("message_stop"),
            )
        )


def _frame(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), wire.encode({"type": kind} | fields))

"""Answers of ``/v1/responses``: the response object, and the events of a stream.

    response.created, response.in_progress,
    for each item: response.output_item.added … deltas … response.output_item.done,
    response.completed, response.incomplete or response.failed

An item is what the model thought (its text stands in ``summary``, where clients look), what it
said, or a call.  Every event has a ``sequence_number``; an answer without ``stream`` is the
response object that the last event of its stream would carry.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.dialects import wire
from runner.dialects.constraints import openai_logprob
from runner.dialects.openai.responses import Call
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
    Usage,
)
from runner.errors import CorralError, WorkerError


def new_id() -> str:
    """Return an id that no other response has."""
    return f"resp_{secrets.token_hex(16)}"


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return token counts as this API shows them."""
    return {
        "input_tokens": usage.n_prompt,
        "input_tokens_details": {"cached_tokens": usage.n_cached, "cache_write_tokens": 0},
        "output_tokens": usage.n_generated,
        "output_tokens_details": {"reasoning_tokens": usage.n_thought},
        "total_tokens": usage.n_prompt + usage.n_generated,
    }


@dataclass(slots=True)
class _Item:
    """The item that is being written: ``object`` as it will end, but for its status."""

    object: dict[str, Any]
    key: str  # where in ``object`` the text goes, once it is whole
    text: list[str]
    logprobs: list[dict[str, Any]] = field(default_factory=list)


class Response:
    """Follows the events of one answer; ``encode`` gives the frames, ``whole`` the object."""

    content_type = "text/event-stream"
    ping = b": ping\n\n"

    def __init__(self, call: Call, *, answer_id: str, created: int) -> None:
        self._call = call
        self._id = answer_id
        self._created = created
        self._output: list[dict[str, Any]] = []
        self._open: _Item | None = None
        self._number = -1
        self._has_started = False

    def encode(self, event: Event) -> bytes:
        """Return the frames that tell ``event``.

        Raises:
            WorkerError: The event says that the answer was cut off.
        """
        match event:
            case Begun():
                return self._start()
            case Reached():
                return b""
            case TextDelta():
                if not event.text and not (event.logprobs and self._is_speaking):
                    return b""
                return self._text("message", event.text, event.logprobs)
            case ThinkingDelta():
                return self._text("reasoning", event.text) if event.text else b""
            case ToolCallDelta():
                return self._call_frames(event)
            case Finished():
                return self._end(event)

    @property
    def _is_speaking(self) -> bool:
        return self._open is not None and self._open.object["type"] == "message"

    def whole(self, finished: Finished) -> bytes:
        """Return the response object, once ``encode`` had every event."""
        return wire.encode(self._object(*_ending(finished), ended=finished))

    def error(self, error: CorralError) -> bytes:
        """Return the frame that ends a stream which failed on its way."""
        # The codes are a closed list there, of which this one fits all that can fail on the way.
        told = {"code": "server_error", "message": error.message, "type": error.code}
        failed = self._object("failed", error=told)
        return self._start() + self._frame("response.failed", response=failed)

    def _start(self) -> bytes:
        if self._has_started:
            return b""
        self._has_started = True
        head = self._frame("response.created", response=self._object("in_progress"))
        return head + self._frame("response.in_progress", response=self._object("in_progress"))

    def _text(self, kind: str, text: str, logprobs: Sequence[TokenLogprob] = ()) -> bytes:
        item = self._open
        head = b""
        if item is None or item.object["type"] != kind:
            head = self._start() + self._close() + self._begin(kind)
            item = self._open
        assert item is not None
        item.text.append(text)
        if kind == "message":
            told = [openai_logprob(each) for each in logprobs]
            item.logprobs += told
            delta = self._frame(
                "response.output_text.delta",
                **self._place(content_index=0),
                delta=text,
                logprobs=told,
            )
        else:
            delta = self._frame(
                "response.reasoning_summary_text.delta", **self._place(summary_index=0), delta=text
            )
        return head + delta

    def _begin(self, kind: str) -> bytes:
        """Open a message or a reasoning item with its one part."""
        prefix = "msg" if kind == "message" else "rs"
        item: dict[str, Any] = {"id": f"{prefix}_{secrets.token_hex(16)}", "type": kind}
        if kind == "message":
            item |= {"status": "in_progress", "role": "assistant", "content": []}
            part = _text_part("")
            added, place = "response.content_part.added", {"content_index": 0}
        else:
            item |= {"summary": []}
            part = {"type": "summary_text", "text": ""}
            added, place = "response.reasoning_summary_part.added", {"summary_index": 0}
        return self._add(item, "content" if kind == "message" else "summary") + self._frame(
            added, **self._place(**place), part=part
        )

    def _call_frames(self, event: ToolCallDelta) -> bytes:
        head = b""
        if event.name:
            space, name = self._call.namespaces.get(event.name, ("", event.name))
            item = {
                "id": f"fc_{secrets.token_hex(16)}",
                "type": "function_call",
                "status": "in_progress",
                "call_id": event.id,
                "name": name,
                "arguments": "",
            }
            if space:
                item["namespace"] = space
            head = self._start() + self._close() + self._add(item, "arguments")
        if not event.arguments or self._open is None:
            return head
        self._open.text.append(event.arguments)
        return head + self._frame(
            "response.function_call_arguments.delta", **self._place(), delta=event.arguments
        )

    def _add(self, item: dict[str, Any], key: str) -> bytes:
        self._open = _Item(item, key, [])
        self._output.append(item)
        return self._frame(
            "response.output_item.added", output_index=len(self._output) - 1, item=item
        )

    def _close(self) -> bytes:
        """End the open item, if any, with the whole of its text."""
        item, self._open = self._open, None
        if item is None:
            return b""
        text = "".join(item.text)
        place = {"item_id": item.object["id"], "output_index": len(self._output) - 1}
        match item.object["type"]:
            case "message":
                part = _text_part(text, item.logprobs)
                item.object |= {"status": "completed", "content": [part]}
                frames = self._frame(
                    "response.output_text.done",
                    **place,
                    content_index=0,
                    text=text,
                    logprobs=item.logprobs,
                ) + self._frame("response.content_part.done", **place, content_index=0, part=part)
            case "reasoning":
                part = {"type": "summary_text", "text": text}
                item.object |= {"summary": [part]}
                frames = self._frame(
                    "response.reasoning_summary_text.done", **place, summary_index=0, text=text
                ) + self._frame(
                    "response.reasoning_summary_part.done", **place, summary_index=0, part=part
                )
            case _:
                item.object |= {"status": "completed", "arguments": text}
                frames = self._frame(
                    "response.function_call_arguments.done",
                    **place,
                    name=item.object["name"],
                    arguments=text,
                )
        done = {"output_index": place["output_index"], "item": item.object}
        return frames + self._frame("response.output_item.done", **done)

    def _end(self, finished: Finished) -> bytes:
        status, details = _ending(finished)
        head = self._start()
        if status == "incomplete" and self._open is not None:
            frames = self._close()
            if "status" in self._output[-1]:
                self._output[-1]["status"] = "incomplete"
        else:
            frames = self._close()
        ended = self._object(status, details, ended=finished)
        return head + frames + self._frame(f"response.{status}", response=ended)

    def _place(self, **parts: int) -> dict[str, Any]:
        assert self._open is not None
        index = len(self._output) - 1
        return {"item_id": self._open.object["id"], "output_index": index} | parts

    def _frame(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        data = wire.encode({"type": kind, "sequence_number": self._number} | fields)
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    def _object(
        self,
        status: str,
        details: dict[str, str] | None = None,
        *,
        ended: Finished | None = None,
        error: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        asked = self._call.body
        reasoning = asked.reasoning
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "completed_at": self._created + int(ended.timings.total_s)
            if ended and status == "completed"
            else None,
            "status": status,
            "background": False,
            "error": error,
            "incomplete_details": details,
            "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens,
            "metadata": asked.metadata or {},
            "model": asked.model,
            "output": self._output,
            "parallel_tool_calls": asked.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {
                "effort": reasoning.effort if reasoning else None,
                "summary": reasoning.summary if reasoning else None,
            },
            "store": False,
            "temperature": asked.temperature,
            "text": {"format": (asked.text.format if asked.text else None) or {"type": "text"}},
            "tool_choice": asked.tool_choice or "auto",
            "tools": self._call.offered_tools,
            "top_logprobs": asked.top_logprobs or 0,
            "top_p": asked.top_p,
            "truncation": asked.truncation or "disabled",
            "usage": usage_object(ended.usage) if ended else None,
            "user": asked.user,
        } | ({"warnings": self._call.warnings} if self._call.warnings else {})


def _text_part(text: str, logprobs: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}


def _ending(finished: Finished) -> tuple[str, dict[str, str] | None]:
    """Return status and details of an answer that ended.

    Raises:
        WorkerError: It was cut off.
    """
    if finished.reason is FinishReason.ABORTED:
        raise WorkerError("the answer was cut off before its end", hint="ask again")
    if finished.reason is FinishReason.LENGTH:
        return "incomplete", {"reason": "max_output_tokens"}
    return "completed", None

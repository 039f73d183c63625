"""From a worker's replies to events: thoughts and calls out of text, and how an answer ended."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from runner.domain.chat import Tool
from runner.domain.event import (
    Begun,
    Event,
    Finished,
    FinishReason,
    Reached,
    TextDelta,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from runner.prompt.marks import marked
from runner.prompt.toolcalls.parser import AnswerParser, Piece
from runner.prompt.toolcalls.registry import AnswerFormat
from runner.protocol.messages import Delta, Outcome, Started


class AnswerReader:
    """Reads one answer; ``started`` once, then ``events`` for each ``Delta``."""

    def __init__(
        self,
        form: AnswerFormat | None,
        tools: Sequence[Tool],
        *,
        max_calls: int | None,
        load_s: float,
        arrived: float,
        choice: int = 0,
    ) -> None:
        """Begin.

        Args:
            form: How the model writes; ``None``: all is text, as for a raw prompt.
            tools: What it may call.
            max_calls: Calls after so many are dropped.
            load_s: Seconds the request waited for its model.
            arrived: When the request came, on the monotonic clock.
            choice: Which of several answers it is; their one prompt is counted by the first.
        """
        self._form = form
        self._tools = tools
        self._max_calls = max_calls
        self._load_s = load_s
        self._arrived = arrived
        self._choice = choice
        self._prompt = Started("", 0, 0)
        self._parser: AnswerParser | None = None
        self._logprobs: tuple[TokenLogprob, ...] = ()
        self._has_called = False

    def started(self, started: Started) -> Begun:
        """Take what the worker says of the prompt, and return it as an event."""
        self._prompt = started
        if self._form is not None:
            self._parser = self._form.parser(
                self._tools,
                started.tail,
                max_calls=self._max_calls,
                controls=started.controls,
            )
        return Begun(started.n_prompt, started.n_cached, self._choice)

    def events(self, delta: Delta) -> Iterator[Event]:
        """Yield what one piece of the answer comes to."""
        if at := delta.at:
            yield Reached(at.n_computed, at.n_generated, at.prompt_s, at.decode_s, self._choice)
        if delta.prompt:
            yield TextDelta("", self._choice, prompt=delta.prompt)
        self._logprobs += delta.logprobs
        if delta.text or self._logprobs:
            yield from self._told(self._read(delta))
        if outcome := delta.finish:
            if self._parser is not None:
                yield from self._told(self._parser.end())
            if self._logprobs:
                yield from self._told([TextDelta("")])
            yield self._finished(outcome)

    def _read(self, delta: Delta) -> list[Piece]:
        if self._parser is None:
            return [TextDelta(delta.text)]
        if not delta.text:
            return []
        return self._parser.feed(marked(delta.text, delta.marks) if delta.marks else delta.text)

    def _told(self, pieces: list[Piece]) -> Iterator[Event]:
        """Give each text the probabilities of its tokens; those of markers and calls go."""
        for piece in pieces:
            if isinstance(piece, TextDelta):
                if self._logprobs:
                    piece = replace(piece, logprobs=self._logprobs)
            else:
                self._has_called = self._has_called or isinstance(piece, ToolCallDelta)
            self._logprobs = ()
            yield replace(piece, choice=self._choice) if self._choice else piece

    def _finished(self, outcome: Outcome) -> Finished:
        reason = outcome.reason
        if reason is FinishReason.STOP and self._has_called:
            reason = FinishReason.TOOL_CALLS
        total_s = time.monotonic() - self._arrived
        prompt = self._prompt
        counts = (prompt.n_prompt, prompt.n_cached) if self._choice == 0 else (0, 0)
        return Finished(
            reason=reason,
            usage=Usage(
                *counts,
                outcome.n_generated,
                outcome.n_drafted,
                outcome.n_accepted,
                outcome.n_thought,
            ),
            timings=Timings(total_s, self._load_s, outcome.prompt_s, outcome.decode_s),
            stop=outcome.stop,
            context=outcome.tokens,
            choice=self._choice,
            n_diverged=prompt.n_diverged,
            n_shifted=outcome.n_shifted,
            n_dropped=prompt.n_dropped,
            hit=prompt.hit,
        )

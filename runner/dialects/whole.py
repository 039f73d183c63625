"""An answer's events put together, for calls that do not stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from runner.domain.event import (
    Event,
    Finished,
    PromptToken,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCallDelta,
)
from runner.errors import WorkerError


@dataclass(frozen=True, slots=True)
class CalledTool:
    """One call, whole: ``arguments`` is the JSON text of an object."""

    id: str
    name: str
    arguments: str

    @property
    def arguments_object(self) -> dict[str, Any]:
        """The arguments as an object; empty where they were cut, or are none."""
        try:
            read = json.loads(self.arguments or "{}")
        except (ValueError, RecursionError):
            return {}
        return read if isinstance(read, dict) else {}

    @property
    def as_text(self) -> str:
        """What there is of a call that cannot be told as one."""
        return f'{{"name": {json.dumps(self.name)}, "arguments": {self.arguments}'

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are the JSON of an object, not cut off or broken."""
        try:
            return isinstance(json.loads(self.arguments or "{}"), dict)
        except (ValueError, RecursionError):
            return False


@dataclass(slots=True)
class WholeAnswer:
    """One of the answers to a request, as far as it has come."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[CalledTool] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    prompt: tuple[PromptToken, ...] = ()
    finished: Finished | None = None

    @property
    def text(self) -> str:
        """What it says."""
        return "".join(self.texts)

    @property
    def thinking(self) -> str:
        """What the model thought before."""
        return "".join(self.thoughts)

    @property
    def end(self) -> Finished:
        """How it ended.

        Raises:
            WorkerError: It did not.
        """
        if self.finished is None:
            raise WorkerError("the answer was cut off before its end", hint="ask again")
        return self.finished

    def add(self, event: Event) -> None:
        """Take the next event of this answer."""
        match event:
            case TextDelta():
                self.texts.append(event.text)
                self.logprobs += event.logprobs
                self.prompt += event.prompt
            case ThinkingDelta():
                self.thoughts.append(event.text)
            case ToolCallDelta():
                self._add_call(event)
            case Finished():
                self.finished = event
            case _:
                pass

    def _add_call(self, event: ToolCallDelta) -> None:
        if event.index == len(self.calls):
            self.calls.append(CalledTool(event.id, event.name, event.arguments))
        else:
            old = self.calls[event.index]
            self.calls[event.index] = replace(old, arguments=old.arguments + event.arguments)


def gathered(events: Iterable[Event], n: int = 1) -> list[WholeAnswer]:
    """Return the ``n`` answers that ``events`` are."""
    found = [WholeAnswer() for _ in range(n)]
    for event in events:
        found[event.choice].add(event)
    return found

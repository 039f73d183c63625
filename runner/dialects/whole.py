"""An answer's events put together, for calls that do not stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from runner.domain.event import Event, TextDelta, ThinkingDelta, ToolCallDelta


@dataclass(frozen=True, slots=True)
class CalledTool:
    """One call, whole: ``arguments`` is the JSON text of an object."""

    id: str
    name: str
    arguments: str

    @property
    def arguments_object(self) -> dict[str, Any]:
        """The arguments as an object."""
        read = json.loads(self.arguments or "{}")
        return read if isinstance(read, dict) else {}


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """What one answer says, all of it."""

    text: str = ""
    thinking: str = ""
    calls: tuple[CalledTool, ...] = ()


def gathered(events: Iterable[Event]) -> WholeAnswer:
    """Return what ``events`` of one answer say together."""
    text: list[str] = []
    thinking: list[str] = []
    calls: list[CalledTool] = []
    for event in events:
        match event:
            case TextDelta():
                text.append(event.text)
            case ThinkingDelta():
                thinking.append(event.text)
            case ToolCallDelta():
                if event.index == len(calls):
                    calls.append(CalledTool(event.id, event.name, event.arguments))
                else:
                    old = calls[event.index]
                    arguments = old.arguments + event.arguments
                    calls[event.index] = CalledTool(old.id, old.name, arguments)
            case _:
                pass
    return WholeAnswer("".join(text), "".join(thinking), tuple(calls))

"""What is told otherwise to a template that fails on a fair conversation.

Templates were written for one way of telling things: a text for arguments, a description for each
tool, one call a turn, turns that alternate.  Where one fails for want of that, it is told the same
conversation in its way.  What a template can do with the conversation as it is never comes here.

Pure; each concession is made once at most, and none loses a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from runner.domain.chat import Message
from runner.prompt.turns import system_in_user_turn

_WALKS_TOOLS = re.compile(r"\bin\s+tools\b")


@dataclass(frozen=True, slots=True)
class Told:
    """What a template is told.

    Attributes:
        turns: The conversation.
        variables: Everything else.
        has_text_arguments: Whether the arguments of calls are told as JSON text.
    """

    turns: Sequence[Message]
    variables: Mapping[str, Any]
    has_text_arguments: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a template failed.

    Attributes:
        source: The template.
        reason: What it said, or what Python said of it.
        is_own: Whether the template itself refused.
    """

    source: str
    reason: str
    is_own: bool


def conceded(failure: Failure, told: Told) -> Told | None:
    """Return what to tell instead; ``None``: there is nothing that would help."""
    for way in _WAYS:
        instead = way(failure, told)
        if instead is not None and instead != told:
            return instead
    return None


def _system_in_user_turn(failure: Failure, told: Told) -> Told | None:
    if not failure.is_own or "system" not in failure.reason.lower():
        return None
    turns = system_in_user_turn(told.turns)
    return None if turns is None else replace(told, turns=turns)


def _neighbours_as_one(failure: Failure, told: Told) -> Told | None:
    """Of templates whose roles have to alternate: neighbours of one role are one turn."""
    if not failure.is_own or "alternate" not in failure.reason:
        return None
    found: list[Message] = []
    for turn in told.turns:
        last = found[-1] if found else None
        if last is None or not _are_plain(last, turn):
            found.append(turn)
            continue
        content = "\n\n".join(text for text in (last.content, turn.content) if text)
        thinking = "\n\n".join(text for text in (last.thinking, turn.thinking) if text)
        images = (*last.images, *turn.images)
        found[-1] = replace(last, content=content, thinking=thinking, images=images)
    return replace(told, turns=found) if len(found) < len(told.turns) else None


def _are_plain(one: Message, other: Message) -> bool:
    """Whether two turns are of one role, and neither has to do with tools."""
    has_calls = one.tool_calls or other.tool_calls
    return one.role == other.role and one.role != "tool" and not has_calls


def _one_call_a_turn(failure: Failure, told: Told) -> Told | None:
    """Of templates that know one call a turn: each call is told with its result behind it."""
    if not failure.is_own or "single tool" not in failure.reason:
        return None
    found: list[Message] = []
    waiting = list(told.turns)
    while waiting:
        turn = waiting.pop(0)
        if len(turn.tool_calls) < 2:
            found.append(turn)
            continue
        calls, results = turn.tool_calls, []
        while waiting and waiting[0].role == "tool":
            results.append(waiting.pop(0))
        for number, call in enumerate(calls):
            if number:
                turn = replace(turn, content="", thinking="")
            found.append(replace(turn, tool_calls=(call,)))
            own = [one for one in results if one.tool_call_id == call.id]
            found += own[:1] if call.id else results[number : number + 1]
        told_already = {id(one) for one in found}
        found += [one for one in results if id(one) not in told_already]
    return replace(told, turns=found) if len(found) > len(told.turns) else None


def _with_descriptions(failure: Failure, told: Told) -> Told | None:
    """Of templates that write each tool's description without asking whether there is one."""
    tools = told.variables.get("tools") or ()
    if failure.is_own or all("description" in tool["function"] for tool in tools):
        return None
    described = [
        {**tool, "function": {**tool["function"], "description": ""}}
        if "description" not in tool["function"]
        else tool
        for tool in tools
    ]
    return replace(told, variables={**told.variables, "tools": described})


def _arguments_as_text(failure: Failure, told: Told) -> Told | None:
    has_calls = any(turn.tool_calls for turn in told.turns)
    if failure.is_own or not has_calls or "concatenate" not in failure.reason:
        return None
    return replace(told, has_text_arguments=True)


def _no_tools_as_a_list(failure: Failure, told: Told) -> Told | None:
    """Of templates that walk through the tools without asking whether there are any."""
    if failure.is_own or told.variables.get("tools") or not _WALKS_TOOLS.search(failure.source):
        return None
    return replace(told, variables={**told.variables, "tools": []})


def _older_names(failure: Failure, told: Told) -> Told | None:
    """Of templates that know tools as text, by the name that they once had, and a day."""
    if failure.is_own or "'functions' is undefined" not in failure.reason:
        return None
    tools = told.variables.get("tools") or []
    older = {
        "functions": json.dumps(tools, ensure_ascii=False, indent=4),
        "datetime": f"{datetime.now():%b %d %Y}",
    }
    return replace(told, variables={**told.variables, **older})


_WAYS: tuple[Callable[[Failure, Told], Told | None], ...] = (
    _system_in_user_turn,
    _neighbours_as_one,
    _one_call_a_turn,
    _with_descriptions,
    _arguments_as_text,
    _no_tools_as_a_list,
    _older_names,
)

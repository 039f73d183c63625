"""The older form of tools in OpenAI's chat: ``functions``, ``function_call``, role ``function``.

A request in it comes down to the same tools and the same choice among them; its answer is written
in it as well.  A message makes one call at most there, and a call has no id: what a function said
is told by its name.
"""

from __future__ import annotations

from typing import Any

from runner.dialects.tools import parse_functions
from runner.dialects.whole import CalledTool
from runner.domain.chat import Tool
from runner.domain.event import FinishReason, ToolCallDelta
from runner.domain.request import ToolChoice
from runner.errors import InvalidRequest

#: Why an answer ended that calls a function, where the newer form says ``tool_calls``.
FINISH_WORD = "function_call"


def parse_offer(functions: list[Any] | None, choice: Any) -> tuple[tuple[Tool, ...], ToolChoice]:
    """Return what the model may call, and whether it must: ``functions`` and ``function_call``.

    Raises:
        InvalidRequest: A function is not as it should be, or the choice is none that there is.
    """
    tools = parse_functions(functions)
    return tools, _choice(choice, {tool.name for tool in tools})


def _choice(raw: Any, names: set[str]) -> ToolChoice:
    match raw:
        case None:
            return ToolChoice(is_parallel=False)
        case "none" | "auto":
            return ToolChoice(raw, is_parallel=False)
        case {"name": str(name)} if name in names:
            return ToolChoice("named", name, is_parallel=False)
        case {"name": str(name)} if name:
            raise InvalidRequest(
                f"function_call: there is no function '{name[:80]}'", param="function_call"
            )
    raise InvalidRequest(
        "function_call must be none, auto or one function",
        hint='one function is {"name": "..."}',
        param="function_call",
    )


def word(reason: str) -> str:
    """Return the older word for why an answer ended."""
    return FINISH_WORD if reason == FinishReason.TOOL_CALLS else reason


def call_object(calls: list[CalledTool]) -> dict[str, str]:
    """Return the one call of a message."""
    return {"name": calls[0].name, "arguments": calls[0].arguments}


def call_piece(event: ToolCallDelta) -> dict[str, str]:
    """Return a piece of it: the name comes with the first one only."""
    arguments = {"arguments": event.arguments}
    return {"name": event.name, **arguments} if event.name else arguments

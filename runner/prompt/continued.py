"""A conversation whose last turn is the assistant's own: the answer goes on where that turn stops.

The turn is rendered with a mark at its end, and the prompt is cut at the mark: so nothing that the
template puts after a turn stands between the text and what follows it.  Pure.

Source of the method: ``continue_final_message`` of ``apply_chat_template`` in ``transformers``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.domain.chat import Message

#: A noncharacter of Unicode, kept out of people's text by ``literal.Shield``.
MARK = "\ufdd2"
_TAG = MARK + " "


def is_continued(messages: Sequence[Message]) -> bool:
    """Whether the answer is to go on with the last turn instead of beginning one."""
    last = messages[-1] if messages else None
    return (
        last is not None and last.role == "assistant" and bool(last.content) and not last.tool_calls
    )


def without_empty_turn(messages: Sequence[Message]) -> Sequence[Message]:
    """Return ``messages`` without a last turn of the assistant's that says nothing at all."""
    if messages and messages[-1] == Message("assistant", ""):
        return messages[:-1]
    return messages


def marked(messages: Sequence[Message]) -> list[Message]:
    """Return ``messages`` with the mark at the end of the last one."""
    *before, last = messages
    return [*before, replace(last, content=last.content + _TAG)]


def cut(rendered: str) -> str | None:
    """Return the prompt up to the mark; ``None`` when the template left that turn out.

    A template that trims turns trims the space after the mark, too; then it would have trimmed
    the text's own.
    """
    before, mark, after = rendered.rpartition(MARK)
    if not mark:
        return None
    return before if after.startswith(_TAG[1:]) else before.rstrip()

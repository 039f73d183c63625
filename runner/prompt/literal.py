"""Keeping a user's text from being read as control tokens.

A chat template mixes control tokens such as ``<|im_end|>`` with what people wrote.  When the
rendered prompt is tokenized, a person's ``<|im_end|>`` must stay ten characters of text, or any
web page pasted into a chat could speak with the system's voice.  So the spellings of control
tokens inside messages are swapped for marks before rendering, and swapped back afterwards, in
parts of the prompt that are tokenized as plain text.

Pure; everything else in a message reaches the template as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runner.domain.chat import Message, Tool, ToolCall
from runner.prompt.continued import MARK

# Noncharacters: Unicode sets them aside for a program's inner use, so text does not hold them.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_MARK = re.compile(f"{_OPEN}([0-9]{{1,9}}){_CLOSE}")
#: A mark as JSON writes it when it escapes what is not ASCII.
_ESCAPED_MARK = re.compile(r"\\ufdd0([0-9]{1,9})\\ufdd1")


def unescape_marks(text: str) -> str:
    """Return JSON text with the marks in it as they were before its characters were escaped."""
    return _ESCAPED_MARK.sub(lambda mark: f"{_OPEN}{mark[1]}{_CLOSE}", text)


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of prompt; control tokens are parsed in it, unless it is literal."""

    text: str
    is_literal: bool


class Shield:
    """Knows the spellings that must not be parsed when a person wrote them."""

    def __init__(self, control_texts: Iterable[str]) -> None:
        # The marks' own characters are shielded too: a message cannot forge a mark.
        # Longest first: a spelling that begins another must not win over it.
        distinct = {_OPEN, _CLOSE, MARK, *control_texts} - {""}
        self._texts = sorted(distinct, key=lambda text: (-len(text), text))
        self._index = {text: i for i, text in enumerate(self._texts)}
        self._pattern = re.compile("|".join(map(re.escape, self._texts)))

    def cover(self, content: str) -> str:
        """Return ``content`` with a mark in place of each spelling."""
        return self._pattern.sub(lambda m: f"{_OPEN}{self._index[m[0]]}{_CLOSE}", content)

    def cover_message(self, message: Message) -> Message:
        """Return ``message`` with every text in it covered, those of tool calls too."""
        cover = self.cover
        return Message(
            role=cover(message.role),
            content=cover(message.content),
            thinking=cover(message.thinking),
            images=message.images,
            tool_calls=tuple(
                ToolCall(cover(call.name), self._cover_value(call.arguments), cover(call.id))
                for call in message.tool_calls
            ),
            tool_name=cover(message.tool_name),
            tool_call_id=cover(message.tool_call_id),
        )

    def cover_tool(self, tool: Tool) -> Tool:
        """Return ``tool`` with every text in it covered, those of its schema too."""
        return Tool(
            name=self.cover(tool.name),
            description=self.cover(tool.description),
            parameters=self._cover_value(tool.parameters),
            is_strict=tool.is_strict,
        )

    def _cover_value(self, value: Any) -> Any:
        """``value``, a JSON value, with its strings covered, keys too."""
        if isinstance(value, str):
            return self.cover(value)
        if isinstance(value, Mapping):
            return {self.cover(str(key)): self._cover_value(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self._cover_value(entry) for entry in value]
        return value

    def uncover(self, rendered: str) -> list[Part]:
        """Return the rendered prompt in parts; joined, they are the prompt as it was meant."""
        parts: list[Part] = []
        at = 0
        for mark in _MARK.finditer(rendered):
            if mark.start() > at:
                parts.append(Part(rendered[at : mark.start()], is_literal=False))
            index = int(mark[1])
            if index < len(self._texts):  # else a template made it up: nothing to put back
                parts.append(Part(self._texts[index], is_literal=True))
            at = mark.end()
        if at < len(rendered):
            parts.append(Part(rendered[at:], is_literal=False))
        return parts

"""Keeping a user's text from being read as control tokens.

A chat template mixes control tokens such as ``<|im_end|>`` with what people wrote.  When the
rendered prompt is tokenized, a person's ``<|im_end|>`` must stay ten characters of text, or any
web page pasted into a chat could speak with the system's voice.  So the spellings of control
tokens inside messages are swapped for marks before rendering, and swapped back afterwards, in
parts of the prompt that are tokenized as plain text.

Pictures get marks in the same way: where a turn has one, its text has a mark, which no text can
forge, and what the template makes of the text says where the picture stands in the prompt.

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
    """A stretch of prompt; control tokens are parsed in it, unless it is literal.

    ``image``: the number of the picture that stands here, from 0; its text is only a name for it.
    """

    text: str
    is_literal: bool
    image: int | None = None


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

    def cover_messages(self, messages: Iterable[Message]) -> tuple[Message, ...]:
        """Return ``messages`` covered; their pictures are numbered through."""
        covered: list[Message] = []
        n_images = 0
        for message in messages:
            covered.append(self.cover_message(message, n_images))
            n_images += len(message.images)
        return tuple(covered)

    def cover_message(self, message: Message, n_images: int = 0) -> Message:
        """Return ``message`` with every text in it covered, those of tool calls too.

        Args:
            message: The turn.
            n_images: Pictures in the turns before it.
        """
        cover = self.cover
        return Message(
            role=cover(message.role),
            content=self._cover_content(message, n_images),
            thinking=cover(message.thinking),
            images=message.images,
            tool_calls=tuple(
                ToolCall(cover(call.name), self._cover_value(call.arguments), cover(call.id))
                for call in message.tool_calls
            ),
            tool_name=cover(message.tool_name),
            tool_call_id=cover(message.tool_call_id),
        )

    def _cover_content(self, message: Message, n_images: int) -> str:
        """The turn's text, covered, with a mark where each of its pictures stands."""
        if not message.images:
            return self.cover(message.content)
        covered, at = "", 0
        first = len(self._texts) + n_images
        for number, image in enumerate(message.images, first):
            covered += self.cover(message.content[at : image.at]) + f"{_OPEN}{number}{_CLOSE}"
            at = max(at, image.at)
        return covered + self.cover(message.content[at:])

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

    def uncover(self, rendered: str, n_images: int = 0) -> list[Part]:
        """Return the rendered prompt in parts; joined, they are the prompt as it was meant.

        Args:
            rendered: What a template made of covered turns.
            n_images: Pictures that the turns have.
        """
        parts: list[Part] = []
        at = 0
        for mark in _MARK.finditer(rendered):
            if mark.start() > at:
                parts.append(Part(rendered[at : mark.start()], is_literal=False))
            index = int(mark[1])
            image = index - len(self._texts)
            if image < 0:
                parts.append(Part(self._texts[index], is_literal=True))
            elif image < n_images:  # else a template made it up: nothing to put back
                parts.append(Part(f"[img-{image}]", is_literal=True, image=image))
            at = mark.end()
        if at < len(rendered):
            parts.append(Part(rendered[at:], is_literal=False))
        return parts

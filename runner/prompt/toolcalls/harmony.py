"""gpt-oss: messages on channels, with recipients, on control tokens of its own ("harmony").

    <|channel|>analysis<|message|>I should look.<|end|>
    <|start|>assistant<|channel|>commentary to=functions.weather <|constrain|>json
    <|message|>{"city": "Berlin"}<|call|>

``analysis`` is thinking, ``final`` is the answer, ``commentary`` to a function is a call, and
without a recipient a word to the user before it.  This parser does thoughts and calls in one, since
the same markers carry both.

Source: the harmony response format of OpenAI, and gpt-oss's chat template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from enum import Enum, auto

from runner.domain.chat import Tool
from runner.domain.event import TextDelta, ThinkingDelta, ToolCallDelta
from runner.prompt.marks import overlap
from runner.prompt.toolcalls.grammar import arguments_schema, json_rule, literal
from runner.prompt.toolcalls.parser import Piece, new_call_id

CHANNEL, MESSAGE, START, END = "<|channel|>", "<|message|>", "<|start|>", "<|end|>"
CONSTRAIN, CALL, RETURN = "<|constrain|>", "<|call|>", "<|return|>"
#: All markers; in gpt-oss each is one token.
CONTROLS = (CHANNEL, MESSAGE, START, END, CONSTRAIN, CALL, RETURN)

_BODY_ENDS = (END, CALL, RETURN, START, CHANNEL)
_HEADER_BEGINS = (CHANNEL, START, MESSAGE, CONSTRAIN, " to=", "assistant")
_MAX_HEADER = 1024  # characters; a longer one is text that somebody forgot to mark
_CHANNEL_NAME = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"\bto=(?:functions\.)?([^\s<]+)")


class _Kind(Enum):
    HEADER = auto()  # between messages, or in the words before one's body
    THOUGHT = auto()
    TEXT = auto()
    CALL = auto()


class HarmonyParser:
    """Reads the messages of one answer; text outside of any message is answer, too."""

    def __init__(
        self,
        names: Collection[str],
        *,
        max_calls: int | None = None,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        """Begin; see ``CallParser``."""
        self._names = frozenset(names)
        self._max_calls = max_calls
        self._new_id = new_id
        self._kind = _Kind.HEADER
        self._held = ""
        self._recipient = ""
        self._body: list[str] = []  # of a call
        self._n_calls = 0

    def feed(self, text: str) -> list[Piece]:
        """Return what is certain now, in order."""
        self._held += text
        found: list[Piece] = []
        while self._held and self._advance(found):
            pass
        return found

    def end(self) -> list[Piece]:
        """Return what was held back; a header without its message is nothing."""
        found: list[Piece] = []
        if self._kind is _Kind.HEADER:
            text = self._held
            is_header = any(text.startswith(w) or w.startswith(text) for w in _HEADER_BEGINS)
            if text.strip() and not is_header:
                found.append(TextDelta(text))
        else:
            # Half a control token is none: those come whole.
            self._give(self._held, found)
            if self._kind is _Kind.CALL:
                self._close_call(found)
        self._held = ""
        return found

    def _advance(self, found: list[Piece]) -> bool:
        """Take one step; return whether another one may be possible."""
        if self._kind is _Kind.HEADER:
            return self._read_header()
        places = [(at, word) for word in _BODY_ENDS if (at := self._held.find(word)) >= 0]
        if not places:
            cut = len(self._held) - max(overlap(self._held, word) for word in _BODY_ENDS)
            self._give(self._held[:cut], found)
            self._held = self._held[cut:]
            return False
        at, word = min(places)
        self._give(self._held[:at], found)
        if self._kind is _Kind.CALL:
            self._close_call(found)
        # The words of a header that follows at once belong to it.
        n_skipped = 0 if word in (START, CHANNEL) else len(word)
        self._held = self._held[at + n_skipped :]
        self._kind = _Kind.HEADER
        return True

    def _read_header(self) -> bool:
        """Find out what kind of message comes."""
        text = self._held
        if not any(text.startswith(word) for word in _HEADER_BEGINS):
            if any(word.startswith(text) for word in (*_HEADER_BEGINS, *_BODY_ENDS)):
                return False
            if end := next((word for word in _BODY_ENDS if text.startswith(word)), ""):
                self._held = text.removeprefix(end)
                return True
            self._kind = _Kind.TEXT  # a message without a header
            return True
        header, marker, rest = text.partition(MESSAGE)
        if not marker:
            if len(text) <= _MAX_HEADER:
                return False
            self._kind = _Kind.TEXT
            return True
        channel = _CHANNEL_NAME.search(header)
        recipient = _RECIPIENT.search(header)
        self._recipient = recipient[1] if recipient else ""
        if self._recipient in self._names:
            self._kind = _Kind.CALL
        elif channel and channel[1] == "analysis":
            self._kind = _Kind.THOUGHT
        else:
            self._kind = _Kind.TEXT
        self._held = rest
        return True

    def _give(self, text: str, found: list[Piece]) -> None:
        if not text:
            return
        match self._kind:
            case _Kind.THOUGHT:
                found.append(ThinkingDelta(text))
            case _Kind.CALL:
                self._body.append(text)
            case _:
                found.append(TextDelta(text))

    def _close_call(self, found: list[Piece]) -> None:
        """Give out a call that has come whole; broken JSON is text."""
        body = "".join(self._body)
        self._body.clear()
        try:
            arguments = json.loads(body) if body.strip() else {}
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            found.append(TextDelta(body))
        elif self._n_calls != self._max_calls:
            text = json.dumps(arguments, ensure_ascii=False)
            index = self._n_calls
            self._n_calls += 1
            found.append(ToolCallDelta(index, name=self._recipient, id=self._new_id()))
            found.append(ToolCallDelta(index, arguments=text))


def grammar(tools: Sequence[Tool]) -> str:
    """Return the Lark grammar of one call of one of ``tools``."""
    rules = ["start: " + " | ".join(f"call_{n}" for n in range(len(tools)))]
    for n, tool in enumerate(tools):
        head = f"{CHANNEL}commentary to=functions.{tool.name} {CONSTRAIN}json{MESSAGE}"
        rules.append(f"call_{n}: {literal(head)} body_{n}")
        rules.append(json_rule(f"body_{n}", arguments_schema(tool)))
    return "\n".join(rules)

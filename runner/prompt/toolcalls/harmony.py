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

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from enum import Enum, auto

from runner.domain.chat import Tool
from runner.domain.event import TextDelta, ThinkingDelta, ToolCallDelta
from runner.prompt.marks import overlap, spelt, unmarked
from runner.prompt.toolcalls.grammar import arguments_schema, json_rule, spelled
from runner.prompt.toolcalls.parser import Piece, new_call_id

CHANNEL, MESSAGE, START, END = "<|channel|>", "<|message|>", "<|start|>", "<|end|>"
CONSTRAIN, CALL, RETURN = "<|constrain|>", "<|call|>", "<|return|>"
#: What stands before the answer itself.
ANSWER = f"{CHANNEL}final{MESSAGE}"
#: What stands before thoughts, and how another message begins after them: the answer, or where
#: there are tools what may be either a call or a word to the user.
THOUGHTS = f"{CHANNEL}analysis{MESSAGE}"
_NEXT = f"{END}{START}assistant"
#: All markers; in gpt-oss each is one token.
CONTROLS = (CHANNEL, MESSAGE, START, END, CONSTRAIN, CALL, RETURN)

_BODY_ENDS = (END, CALL, RETURN, START, CHANNEL)
_HEADER_MARKS = (CHANNEL, START, MESSAGE, CONSTRAIN)
_HEADER_WORDS = (" to=", "assistant")
_MAX_HEADER = 1024  # characters; a longer one is text that somebody forgot to mark
_CHANNEL_NAME = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"\bto=(?:functions\.)?([^\s<]+)")


class _Kind(Enum):
    HEADER = auto()  # between messages, or in the words before one's body
    THOUGHT = auto()
    TEXT = auto()
    CALL = auto()  # its arguments have not begun
    ARGUMENTS = auto()


class HarmonyParser:
    """Reads the messages of one answer; text outside of any message is answer, too."""

    def __init__(
        self,
        names: Collection[str],
        *,
        max_calls: int | None = None,
        controls: Collection[str] = (),
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        """Begin; see ``CallParser``."""
        self._names = frozenset(names)
        self._max_calls = max_calls
        self._new_id = new_id
        self._ends = tuple(spelt(word, controls) for word in _BODY_ENDS)
        self._joins = tuple(spelt(word, controls) for word in (START, CHANNEL))
        marks = tuple(spelt(word, controls) for word in _HEADER_MARKS)
        self._header_begins = (*marks, *_HEADER_WORDS)
        self._message = spelt(MESSAGE, controls)
        self._kind = _Kind.HEADER
        self._held = ""
        self._recipient = ""
        self._body = ""  # of a call whose arguments have not begun
        self._n_calls = 0

    def feed(self, text: str) -> list[Piece]:
        """Return what is certain now, in order."""
        self._held += text
        found: list[Piece] = []
        while self._held and self._advance(found):
            pass
        return _shown(found)

    def end(self) -> list[Piece]:
        """Return what was held back; a header without its message is nothing."""
        found: list[Piece] = []
        text, self._held = self._held, ""
        if self._kind is _Kind.HEADER:
            begins = self._header_begins
            is_header = any(text.startswith(w) or w.startswith(text) for w in begins)
            if text.strip() and not is_header:
                found.append(TextDelta(text))
        else:
            # Half a control token is none: those come whole.
            self._give(text, found)
            self._close(found, is_cut=True)
        return _shown(found)

    def _advance(self, found: list[Piece]) -> bool:
        """Take one step; return whether another one may be possible."""
        if self._kind is _Kind.HEADER:
            return self._read_header(found)
        places = [(at, word) for word in self._ends if (at := self._held.find(word)) >= 0]
        if not places:
            cut = len(self._held) - max(overlap(self._held, word) for word in self._ends)
            self._give(self._held[:cut], found)
            self._held = self._held[cut:]
            return False
        at, word = min(places)
        self._give(self._held[:at], found)
        self._close(found, is_cut=False)
        # The words of a header that follows at once belong to it.
        n_skipped = 0 if word in self._joins else len(word)
        self._held = self._held[at + n_skipped :]
        self._kind = _Kind.HEADER
        return True

    def _read_header(self, found: list[Piece]) -> bool:
        """Find out what kind of message comes."""
        text, begins = self._held, self._header_begins
        begin = next((word for word in begins if text.startswith(word)), "")
        if not begin:
            if any(word.startswith(text) for word in (*begins, *self._ends)):
                return False
            if end := next((word for word in self._ends if text.startswith(word)), ""):
                self._held = text.removeprefix(end)
                return True
            self._kind = _Kind.TEXT  # a message without a header
            return True
        at = text.find(self._message)
        if at < 0 and len(text) - overlap(text, self._message) <= _MAX_HEADER:
            return False
        if not 0 <= at <= _MAX_HEADER:
            self._kind = _Kind.TEXT
            self._give(begin, found)  # it would be found again, as the end of this text
            self._held = text.removeprefix(begin)
            return True
        header, rest = text[:at], text[at + len(self._message) :]
        channel = _CHANNEL_NAME.search(unmarked(header))
        recipient = _RECIPIENT.search(unmarked(header))
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
                self._body += text
                self._begin_call(found)
            case _Kind.ARGUMENTS:
                self._tell(ToolCallDelta(self._n_calls - 1, arguments=unmarked(text)), found)
            case _:
                found.append(TextDelta(text))

    def _begin_call(self, found: list[Piece]) -> None:
        """Tell a call once its arguments begin as an object does; else it is text."""
        body = self._body.lstrip()
        head = body[:1] + body[1:].lstrip()[:1]
        if head in ("", "{"):
            return
        self._body = ""
        if head not in ('{"', "{}"):
            self._kind = _Kind.TEXT
            self._give(body, found)
            return
        self._kind = _Kind.ARGUMENTS
        self._n_calls += 1
        index = self._n_calls - 1
        self._tell(ToolCallDelta(index, name=self._recipient, id=self._new_id()), found)
        self._give(body, found)

    def _close(self, found: list[Piece], *, is_cut: bool) -> None:
        """End a message: a call without a body has no arguments, half a bracket is text."""
        if self._kind is not _Kind.CALL:
            return
        body, self._body = self._body, ""
        if body.strip():
            found.append(TextDelta(body))
        elif not is_cut:
            self._body = "{}"
            self._begin_call(found)

    def _tell(self, piece: ToolCallDelta, found: list[Piece]) -> None:
        if self._max_calls is None or piece.index < self._max_calls:
            found.append(piece)


def _shown(pieces: list[Piece]) -> list[Piece]:
    """Return pieces without marks, and without what then says nothing."""
    found: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, ToolCallDelta):
            found.append(piece)
        elif text := unmarked(piece.text):
            found.append(replace(piece, text=text))
    return found


def ending(*, has_tools: bool) -> str:
    """Return what ends thoughts that would go on, and begins what is to come instead."""
    return _NEXT + (f"{CHANNEL}commentary" if has_tools else ANSWER)


def grammar(tools: Sequence[Tool], *, thinks: bool) -> str:
    """Return the Lark grammar of one call of one of ``tools``; thoughts may come before it."""
    rules = [f"start: {'thoughts? ' if thinks else ''}call"]
    if thinks:
        before = spelled(THOUGHTS, CONTROLS)
        after = spelled(_NEXT, CONTROLS)
        rules += [f"thoughts: {before} TEXT? {after}", r"TEXT: /(.|\n)+/"]
    rules.append("call: " + " | ".join(f"call_{n}" for n in range(len(tools))))
    for n, tool in enumerate(tools):
        head = f"{CHANNEL}commentary to=functions.{tool.name} {CONSTRAIN}json{MESSAGE}"
        rules.append(f"call_{n}: {spelled(head, CONTROLS)} body_{n}")
        rules.append(json_rule(f"body_{n}", arguments_schema(tool)))
    return "\n".join(rules)

"""Reasoning split from the answer, while it streams.

A model that thinks writes its thoughts first, between two markers of its family; some templates
write the opening one already, at the end of the prompt.  ``ThinkingSplitter`` tells the two kinds
of text apart at any split of the stream.  gpt-oss, whose markers also route tool calls, is
``toolcalls/harmony.py``'s.  Pure.

Only what opens the answer is thinking: the same words later on are text, since models write about
themselves.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum, auto

from runner.domain.event import TextDelta, ThinkingDelta
from runner.domain.request import Constraint, Think
from runner.prompt.marks import overlap, spelt

#: Characters of a rendered prompt's end that tell whether it opened a block of thinking.
TAIL_CHARS = 64


@dataclass(frozen=True, slots=True)
class Markers:
    """What stands before and after a family's thoughts.

    Attributes:
        open: Before them.
        close: After them.
        label: A word behind the first that is none of the thoughts.
        is_lone: Whether the second one alone opens an answer without thoughts.
    """

    open: str
    close: str
    label: str = ""
    is_lone: bool = False

    def spelt(self, controls: Collection[str]) -> Markers:
        """Return them as they stand in text whose ``controls`` are marked as tokens."""
        opening, closing = spelt(self.open, controls), spelt(self.close, controls)
        return replace(self, open=opening, close=closing)


#: By family; the first pair that a template mentions is its model's.
FAMILIES: tuple[Markers, ...] = (
    Markers("<think>", "</think>"),  # Qwen, DeepSeek, GLM, MiniMax, Nemotron, SmolLM
    Markers("[THINK]", "[/THINK]"),  # Mistral
    Markers("<seed:think>", "</seed:think>"),  # Seed-OSS
    Markers("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThinker, Sky-T1
    Markers("<|START_THINKING|>", "<|END_THINKING|>"),  # Command R and A
    Markers("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    Markers("<mm:think>", "</mm:think>", is_lone=True),  # MiniMax M3
    Markers("<|channel>", "<channel|>", "thought\n"),  # Gemma 4
    Markers("<thinking>", "</thinking>"),
    Markers("<thought>", "</thought>"),
)


def markers_of(template: str) -> Markers | None:
    """Return the markers of the model with this chat template; ``None``: it does not think."""
    for markers in FAMILIES:
        if markers.open in template or markers.close in template:
            return markers
    return None


def opened_by(tail: str, markers: Markers) -> bool:
    """Whether a prompt that ends with ``tail`` leaves a block of thinking open."""
    end = tail.rstrip()
    return end.endswith((markers.open, (markers.open + markers.label).rstrip()))


def settled(constraint: Constraint, tail: str, think: Think) -> Constraint:
    """Return a constraint that waits for the end of thoughts as it is with this prompt.

    Where the prompt has opened a block of thinking, it waits for the block's end.  Else the model
    may open one, and the constraint begins after it or, without one, with the first token; with the
    first token in any case where no thinking is wanted.  What does not end a block of ``FAMILIES``
    is waited for as it says.

    Args:
        constraint: What the answer must look like.
        tail: The end of the rendered prompt.
        think: What the request says.
    """
    markers = next((each for each in FAMILIES if each.close == constraint.after), None)
    if markers is None or opened_by(tail, markers):
        return constraint
    if think is False:
        return replace(constraint, after="")
    return replace(constraint, opening=markers.open)


class _Phase(Enum):
    BEFORE = auto()  # nothing but white space has come
    OPENED = auto()  # inside, nothing but white space has come
    THINKING = auto()
    BETWEEN = auto()  # thoughts have ended, nothing but white space has come
    ANSWER = auto()


class ThinkingSplitter:
    """Tells thoughts from the answer in one stream of text.

    White space around thoughts is dropped, and so is a second opening marker right after the
    first: some models repeat what the prompt has said.  All other text comes out as it was.
    """

    def __init__(self, markers: Markers, *, is_open: bool) -> None:
        """Begin; ``is_open``: the prompt has opened the block already."""
        self._markers = markers
        self._phase = _Phase.OPENED if is_open else _Phase.BEFORE
        self._label = markers.label
        self._held = ""
        self._may_open = True

    def feed(self, text: str) -> list[ThinkingDelta | TextDelta]:
        """Return what is certain now, in order."""
        self._held += text
        found: list[ThinkingDelta | TextDelta] = []
        while self._advance(found):
            pass
        return found

    def end(self) -> list[ThinkingDelta | TextDelta]:
        """Return what was held back; the answer is over."""
        held, self._held = self._held, ""
        match self._phase:
            case _Phase.BEFORE | _Phase.ANSWER:
                return [TextDelta(held)] if held else []
            case _Phase.OPENED | _Phase.THINKING:
                held = held.strip() if self._phase is _Phase.OPENED else held.rstrip()
                return [ThinkingDelta(held)] if held else []
            case _:
                return [TextDelta(held.lstrip())] if held.strip() else []

    def _advance(self, found: list[ThinkingDelta | TextDelta]) -> bool:
        """Take one step; return whether another one may be possible."""
        if not self._held:
            return False
        match self._phase:
            case _Phase.BEFORE | _Phase.BETWEEN | _Phase.OPENED:
                return self._open()
            case _Phase.THINKING:
                return self._think(found)
            case _:
                found.append(TextDelta(self._held))
                self._held = ""
                return False

    def _open(self) -> bool:
        """Look for the opening marker behind white space."""
        text = self._held.lstrip()
        if self._may_open and text.startswith(self._markers.open):
            self._held = text.removeprefix(self._markers.open)
            self._may_open = self._phase is not _Phase.OPENED  # it may be said twice, not more
            self._phase = _Phase.OPENED
            return True
        if self._is_lone and text.startswith(self._markers.close):
            self._held = text.removeprefix(self._markers.close)
            self._phase, self._may_open = _Phase.BETWEEN, False
            return True
        if not text or self._may_become(text):
            return False
        if self._phase is _Phase.OPENED and text.startswith(self._label):
            text = text.removeprefix(self._label)
        if self._phase is not _Phase.BEFORE:
            self._held = text
        self._phase = _Phase.THINKING if self._phase is _Phase.OPENED else _Phase.ANSWER
        return True

    @property
    def _is_lone(self) -> bool:
        return self._markers.is_lone and self._phase is _Phase.BEFORE

    def _may_become(self, text: str) -> bool:
        """Whether ``text`` may be the beginning of a marker, or of the label behind one."""
        words = [self._markers.open] if self._may_open else []
        if self._is_lone:
            words.append(self._markers.close)
        elif self._phase is _Phase.OPENED:
            words.append(self._label)
        return any(word.startswith(text) for word in words if word != text)

    def _think(self, found: list[ThinkingDelta | TextDelta]) -> bool:
        """Give out thoughts up to the closing marker, without the white space before it."""
        thought, marker, rest = self._held.partition(self._markers.close)
        if marker:
            self._held, self._phase, self._may_open = rest, _Phase.BETWEEN, True
            thought = thought.rstrip()
        else:
            n_sure = len(thought) - overlap(thought, self._markers.close)
            cut = len(thought[:n_sure].rstrip())
            self._held, thought = thought[cut:], thought[:cut]
        if thought:
            found.append(ThinkingDelta(thought))
        return bool(marker)

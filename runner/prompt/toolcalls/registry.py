"""Which family a model belongs to, by its chat template, and so how its answers are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from runner.domain.chat import Tool
from runner.domain.event import TextDelta
from runner.domain.request import Constraint
from runner.prompt.capabilities import abilities
from runner.prompt.thinking import Markers, ThinkingSplitter, markers_of, opened_by
from runner.prompt.toolcalls import deepseek, harmony, llama3, mistral
from runner.prompt.toolcalls.deepseek import DeepSeek
from runner.prompt.toolcalls.generic import Generic
from runner.prompt.toolcalls.harmony import HarmonyParser
from runner.prompt.toolcalls.hermes import Hermes
from runner.prompt.toolcalls.llama3 import Llama3
from runner.prompt.toolcalls.mistral import Mistral
from runner.prompt.toolcalls.parser import AnswerParser, CallParser, Piece, Syntax
from runner.prompt.toolcalls.qwen3_coder import Qwen3Coder

_DEEPSEEK_CONTROLS = (
    deepseek.CALLS_BEGIN,
    deepseek.CALLS_END,
    deepseek.CALL_BEGIN,
    deepseek.CALL_END,
    deepseek.SEPARATOR,
)


@dataclass(frozen=True, slots=True)
class Family:
    """How some models write calls.

    Attributes:
        name: For logs and tests.
        marks: The template of such a model has all of these.
        controls: Markers that are control tokens in some of them.
        syntax: Made of the template and the tools; ``None`` for harmony, which has its own parser.
    """

    name: str
    marks: tuple[str, ...]
    controls: tuple[str, ...]
    syntax: Callable[[str, Sequence[Tool]], Syntax] | None


#: The first one that fits; the last one fits every template that takes tools.
FAMILIES: tuple[Family, ...] = (
    Family("harmony", (harmony.CHANNEL, "analysis"), harmony.CONTROLS, None),
    Family(
        "deepseek",
        (deepseek.CALL_BEGIN,),
        _DEEPSEEK_CONTROLS,
        lambda template, tools: DeepSeek(has_fence="```json" in template),
    ),
    Family(
        "mistral",
        (mistral.OPENER,),
        (mistral.OPENER, mistral.ARGUMENTS, mistral.CALL_ID),
        lambda template, tools: Mistral(has_names=mistral.ARGUMENTS in template),
    ),
    Family(
        "qwen3-coder",
        ("<function=", "<parameter="),
        (*Hermes.openers, "</tool_call>"),
        lambda template, tools: Qwen3Coder(tools),
    ),
    Family(
        "hermes",
        Hermes.openers,
        (*Hermes.openers, "</tool_call>"),
        lambda template, tools: Hermes(),
    ),
    Family("llama3", (llama3.TAG,), (llama3.TAG,), lambda template, tools: Llama3()),
    Family(
        "llama3", ('"parameters": ', '{"name": '), (llama3.TAG,), lambda template, tools: Llama3()
    ),
    Family("generic", (), (*Hermes.openers, "</tool_call>"), lambda template, tools: Generic()),
)


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """How the answers of one model are written.

    Attributes:
        template: The model's chat template.
        family: How it writes calls; ``None``: its template takes no tools.
        markers: What stands around its thoughts; ``None``: it has none, or harmony's.
    """

    template: str
    family: Family | None
    markers: Markers | None

    @property
    def is_harmony(self) -> bool:
        """Whether thoughts and calls come on channels."""
        return self.family is not None and self.family.syntax is None

    def keeps(self, *, has_tools: bool) -> tuple[str, ...]:
        """Return the control tokens whose text the parser must see."""
        marks: tuple[str, ...] = ()
        if self.markers:
            marks = (self.markers.open, self.markers.close)
        if self.family and (has_tools or self.is_harmony):
            marks += self.family.controls
        return marks

    def parser(
        self, tools: Sequence[Tool], tail: str, *, max_calls: int | None = None
    ) -> AnswerParser:
        """Return what reads one answer.

        Args:
            tools: What may be called; none: nothing is read as a call.
            tail: The end of the rendered prompt.
            max_calls: Calls after so many are dropped.
        """
        names = [tool.name for tool in tools]
        if self.is_harmony:
            return HarmonyParser(names, max_calls=max_calls)
        splitter = None
        if self.markers:
            splitter = ThinkingSplitter(self.markers, is_open=opened_by(tail, self.markers))
        calls = None
        if tools and self.family and self.family.syntax:
            calls = CallParser(self.family.syntax(self.template, tools), names, max_calls=max_calls)
        return _Chain(splitter, calls)

    def forced_call(self, tools: Sequence[Tool], *, several: bool) -> Constraint:
        """Return the constraint under which the answer is one call of ``tools``, or several.

        It waits for the end of the thoughts, where there are some.
        """
        assert self.family, "asked only of a model whose template takes tools"
        if self.family.syntax is None:
            return Constraint("lark", harmony.grammar(tools))
        text = self.family.syntax(self.template, tools).grammar(tools, several=several)
        return Constraint("lark", text, after=self.thoughts_end)

    @property
    def thoughts_end(self) -> str:
        """The marker after which the answer itself comes; empty where there are no thoughts."""
        if self.is_harmony:
            return harmony.END
        return self.markers.close if self.markers else ""


@lru_cache(maxsize=64)
def answer_format(template: str) -> AnswerFormat:
    """Return how the model with this chat template writes its answers."""
    found = next(family for family in FAMILIES if all(mark in template for mark in family.marks))
    if found.syntax is None:
        return AnswerFormat(template, found, None)
    takes_tools = abilities(template).tools
    return AnswerFormat(template, found if takes_tools else None, markers_of(template))


class _Chain:
    """Thoughts first, then calls; either may be missing."""

    def __init__(self, splitter: ThinkingSplitter | None, calls: CallParser | None) -> None:
        self._splitter = splitter
        self._calls = calls

    def feed(self, text: str) -> list[Piece]:
        """Return what is certain now, in order."""
        pieces: list[Piece] = [*self._splitter.feed(text)] if self._splitter else [TextDelta(text)]
        return self._called(pieces)

    def end(self) -> list[Piece]:
        """Return what was held back."""
        pieces = self._called([*self._splitter.end()] if self._splitter else [])
        return [*pieces, *(self._calls.end() if self._calls else ())]

    def _called(self, pieces: list[Piece]) -> list[Piece]:
        if self._calls is None:
            return pieces
        found: list[Piece] = []
        for piece in pieces:
            found += self._calls.feed(piece.text) if isinstance(piece, TextDelta) else [piece]
        return found

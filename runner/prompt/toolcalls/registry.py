"""Which family a model belongs to, by its chat template, and so how its answers are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from runner.domain.chat import Tool
from runner.domain.event import TextDelta, ToolCallDelta
from runner.domain.request import Constraint, Think, ThoughtBound
from runner.prompt.capabilities import abilities
from runner.prompt.marks import unmarked
from runner.prompt.thinking import Markers, ThinkingSplitter, markers_of, opened_by
from runner.prompt.toolcalls import (
    command,
    deepseek,
    gemma4,
    glm,
    harmony,
    hermes,
    invoke,
    kimi,
    listed,
    llama3,
    minimax_m3,
    mistral,
    pythonic,
    qwen3_coder,
)
from runner.prompt.toolcalls.command import Command
from runner.prompt.toolcalls.deepseek import DeepSeek
from runner.prompt.toolcalls.gemma4 import Gemma4
from runner.prompt.toolcalls.generic import Generic
from runner.prompt.toolcalls.glm import Glm
from runner.prompt.toolcalls.harmony import HarmonyParser
from runner.prompt.toolcalls.hermes import Hermes
from runner.prompt.toolcalls.invoke import Invoke
from runner.prompt.toolcalls.kimi import Kimi
from runner.prompt.toolcalls.listed import Listed
from runner.prompt.toolcalls.llama3 import Llama3
from runner.prompt.toolcalls.minimax_m3 import MinimaxM3
from runner.prompt.toolcalls.mistral import Mistral
from runner.prompt.toolcalls.parser import AnswerParser, CallParser, Piece, Syntax
from runner.prompt.toolcalls.pythonic import Gemma, Lfm
from runner.prompt.toolcalls.qwen3_coder import Qwen3Coder
from runner.prompt.wrapping import Unwrapper, Wrapping, wrapping_of


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


def _always(syntax: Callable[[], Syntax]) -> Callable[[str, Sequence[Tool]], Syntax]:
    return lambda template, tools: syntax()


def _listed(name: str, marks: tuple[str, ...], syntax: Listed) -> Family:
    return Family(name, marks, syntax.controls, lambda template, tools: syntax)


#: The first one that fits; the last one fits every template that takes tools.
FAMILIES: tuple[Family, ...] = (
    Family("harmony", (harmony.CHANNEL, "analysis"), harmony.CONTROLS, None),
    Family("kimi", (kimi.CALL_BEGIN, kimi.ARGUMENTS), kimi.CONTROLS, _always(Kimi)),
    Family(
        "deepseek",
        (deepseek.CALL_BEGIN,),
        deepseek.CONTROLS,
        lambda template, tools: DeepSeek(has_fence="```json" in template),
    ),
    Family(
        "dsml",
        (invoke.DSML, "invoke name="),
        (),
        lambda template, tools: Invoke(
            tools, dsml=invoke.V3_2 if invoke.V3_2 in template else invoke.V4
        ),
    ),
    Family(
        "mistral",
        (mistral.OPENER,),
        mistral.CONTROLS,
        lambda template, tools: Mistral(has_names=mistral.ARGUMENTS in template),
    ),
    Family(
        "minimax",
        (invoke.MINIMAX[0], "invoke name="),
        invoke.CONTROLS,
        lambda template, tools: Invoke(tools),
    ),
    Family(
        "minimax-m3",
        (minimax_m3.MARK,),
        minimax_m3.CONTROLS,
        lambda template, tools: MinimaxM3(tools),
    ),
    Family("gemma4", (gemma4.BEGIN, gemma4.END), gemma4.CONTROLS, _always(Gemma4)),
    Family(
        "qwen3-coder",
        ("<function=", "<parameter="),
        qwen3_coder.CONTROLS,
        lambda template, tools: Qwen3Coder(tools, is_seed="<seed:tool_call>" in template),
    ),
    Family(
        "glm",
        ("<arg_key>", "<arg_value>"),
        glm.CONTROLS,
        lambda template, tools: Glm(tools, has_lines="</arg_key>\n" in template),
    ),
    Family(
        "command",
        (command.BEGIN,),
        command.CONTROLS,
        _always(lambda: Command(has_word=False)),
    ),
    Family(
        "command-r",
        ("<|CHATBOT_TOKEN|>", command.WORD),
        (),
        _always(lambda: Command(has_word=True)),
    ),
    Family("lfm", (pythonic.BEGIN,), pythonic.CONTROLS, _always(Lfm)),
    Family("lfm", ("List of tools: ",), pythonic.CONTROLS, _always(Lfm)),
    _listed("minimax-m1", ("<tool_calls>", "<beginning_of_sentence>"), listed.MINIMAX),
    _listed("apriel", ("<tool_calls>[",), listed.APRIEL),
    _listed("nemotron", ("<TOOLCALL>",), listed.NEMOTRON),
    _listed("granite", ("<|tool_call|>", "<|start_of_role|>"), listed.GRANITE),
    _listed("phi", ("<|tool|>", "<|/tool|>"), listed.PHI),
    _listed("firefunction", ("functools",), listed.FIREFUNCTION),
    Family("gemma", ("<start_of_turn>",), (), _always(Gemma)),
    Family("hermes", Hermes.openers, hermes.CONTROLS, _always(Hermes)),
    Family("llama3", (llama3.TAG,), llama3.CONTROLS, _always(Llama3)),
    Family("llama3", ('"parameters": ', '{"name": '), llama3.CONTROLS, _always(Llama3)),
    Family("generic", (), hermes.CONTROLS, _always(Generic)),
)


#: What templates read that tell the model how hard to think.
_LEVELS_IN_TEMPLATES = ("reasoning_effort", ".ThinkLevel")
#: How much of an answer thoughts may be, by how hard to think; as OpenRouter divides it.
_SHARES = {"low": 0.2, "medium": 0.5, "high": 0.8, "max": 0.95}


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """How the answers of one model are written.

    Attributes:
        template: The model's chat template.
        family: How it writes calls; ``None``: its template takes no tools.
        markers: What stands around its thoughts; ``None``: it has none, or harmony's.
        wrapping: What stands around the answer itself, if anything does.
    """

    template: str
    family: Family | None
    markers: Markers | None
    wrapping: Wrapping | None = None

    @property
    def is_harmony(self) -> bool:
        """Whether thoughts and calls come on channels."""
        return self.family is not None and self.family.syntax is None

    def keeps(self, *, has_tools: bool) -> tuple[str, ...]:
        """Return the control tokens whose text the parser must see."""
        marks: tuple[str, ...] = ()
        if self.markers:
            marks = (self.markers.open, self.markers.close)
        if self.wrapping:
            marks += (self.wrapping.open, self.wrapping.close)
        if self.family and (has_tools or self.is_harmony):
            marks += self.family.controls
        return marks

    def parser(
        self,
        tools: Sequence[Tool],
        tail: str,
        *,
        max_calls: int | None = None,
        controls: Collection[str] = (),
    ) -> AnswerParser:
        """Return what reads one answer.

        Args:
            tools: What may be called; none: nothing is read as a call.
            tail: The end of the rendered prompt.
            max_calls: Calls after so many are dropped.
            controls: Those of the markers that ``keeps`` named that are control tokens of the
                model; the text comes with a mark at each (``prompt/marks.py``).
        """
        names = [tool.name for tool in tools]
        if self.is_harmony:
            return HarmonyParser(names, max_calls=max_calls, controls=controls)
        splitter = None
        if self.markers:
            is_open = opened_by(tail, self.markers)
            splitter = ThinkingSplitter(self.markers.spelt(controls), is_open=is_open)
        calls = None
        if tools and self.family and self.family.syntax:
            syntax = self.family.syntax(self.template, tools)
            calls = CallParser(syntax, names, max_calls=max_calls, controls=controls)
        unwrapper = Unwrapper(self.wrapping.spelt(controls)) if self.wrapping else None
        return _Chain(splitter, unwrapper, calls)

    def forced_call(
        self, tools: Sequence[Tool], *, several: bool, thinks: bool = True
    ) -> Constraint:
        """Return the constraint under which the answer is one call of ``tools``, or several.

        It waits for the end of the thoughts, where there are some; ``thinks``: there may be.
        """
        assert self.family, "asked only of a model whose template takes tools"
        if self.family.syntax is None:
            return Constraint("lark", harmony.grammar(tools, thinks=thinks))
        text = self.family.syntax(self.template, tools).grammar(tools, several=several)
        return Constraint("lark", text, after=self.answer_begin)

    def bound(self, think: Think, n_most: int | None, *, has_tools: bool) -> ThoughtBound | None:
        """Return how its thoughts are told, and how much of it they may be; ``None``: it has none.

        A template that knows how hard to think tells the model; where it does not, how hard to
        think is a share of the answer's tokens.  One that opens thoughts although there shall be
        none has them ended at once; harmony's models cannot do without.

        Args:
            think: Whether to think, and how hard.
            n_most: Most tokens that the caller wants to be thoughts.
            has_tools: Whether a call may follow them.
        """
        heeds = any(word in self.template for word in _LEVELS_IN_TEMPLATES)
        share = 1.0 if heeds or not isinstance(think, str) else _SHARES[think]
        if think is False:
            n_most = None if self.is_harmony else 0
        if self.is_harmony:
            ending = harmony.ending(has_tools=has_tools)
            return ThoughtBound(harmony.THOUGHTS, harmony.END, ending, n_most, share, returns=True)
        if self.markers is None:
            return None
        return ThoughtBound(
            self.markers.open, self.markers.close, self.markers.close, n_most, share
        )

    @property
    def answer_begin(self) -> str:
        """The marker after which the answer itself comes; empty where there are no thoughts."""
        if self.is_harmony:
            return harmony.ANSWER
        return self.markers.close if self.markers else ""


@lru_cache(maxsize=64)
def answer_format(template: str) -> AnswerFormat:
    """Return how the model with this chat template writes its answers."""
    found = next(family for family in FAMILIES if all(mark in template for mark in family.marks))
    if found.syntax is None:
        return AnswerFormat(template, found, None)
    takes_tools = abilities(template).tools
    family = found if takes_tools else None
    return AnswerFormat(template, family, markers_of(template), wrapping_of(template))


class _Chain:
    """Thoughts first, then what is around the answer, then calls; any of them may be missing."""

    def __init__(
        self,
        splitter: ThinkingSplitter | None,
        unwrapper: Unwrapper | None,
        calls: CallParser | None,
    ) -> None:
        self._splitter = splitter
        self._unwrapper = unwrapper
        self._calls = calls

    def feed(self, text: str) -> list[Piece]:
        """Return what is certain now, in order."""
        return list(_shown(self._read(text)))

    def end(self) -> list[Piece]:
        """Return what was held back."""
        pieces = self._called([*self._splitter.end()] if self._splitter else [])
        if self._unwrapper:
            pieces += self._answered(self._unwrapper.end())
        return list(_shown([*pieces, *(self._calls.end() if self._calls else ())]))

    def _read(self, text: str) -> list[Piece]:
        return self._called([*self._splitter.feed(text)] if self._splitter else [TextDelta(text)])

    def _called(self, pieces: list[Piece]) -> list[Piece]:
        found: list[Piece] = []
        for piece in pieces:
            if not isinstance(piece, TextDelta):
                found.append(piece)
                continue
            text = self._unwrapper.feed(piece.text) if self._unwrapper else piece.text
            found += self._answered(text)
        return found

    def _answered(self, text: str) -> list[Piece]:
        return self._calls.feed(text) if self._calls else [TextDelta(text)]


def _shown(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield pieces without marks, and without what then says nothing."""
    for piece in pieces:
        if isinstance(piece, ToolCallDelta):
            yield piece
        elif text := unmarked(piece.text):
            yield piece if text == piece.text else replace(piece, text=text)

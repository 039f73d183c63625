"""A model's own chat template, rendered the way its makers did (as ``transformers`` renders it).

The template is a program that a stranger wrote.  It runs in jinja2's immutable sandbox, without
files, network or Python objects, and the size of the whole prompt is limited here.  How long it
may run and how much memory it may take is for the caller to enforce (``engine/rendering.py``):
neither can be stopped from inside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runner.domain.chat import Message, Tool
from runner.domain.request import Think
from runner.errors import TemplateFailed
from runner.prompt.concessions import Failure, Told, conceded
from runner.prompt.continued import cut, is_continued, marked, without_empty_turn
from runner.prompt.literal import unescape_marks
from runner.prompt.turns import (
    linked,
    think_variables,
    tool_object,
    turn_object,
    with_short_ids,
)

#: Characters that a prompt, or one multiplication in a template, may have.
MAX_CHARS = 32 * 1024 * 1024
#: Bits of the integers that a template may compute with.
_MAX_BITS = 4096
#: How Mistral's templates ask for ids of nine characters.
_SHORT_IDS = re.compile(r"\|\s*length\s*!=\s*9\b")
#: How templates of models that see ask what a part of a turn is.
_ASKS_TYPE = re.compile(r"""\.type\b|\[\s*['"]type['"]\s*\]""")
#: Ways in which one conversation is told, at most.
_MOST_CONCESSIONS = 8


class ChatTemplate:
    """A compiled chat template; safe from any thread."""

    def __init__(self, source: str, *, bos_text: str = "", eos_text: str = "") -> None:
        """Compile ``source``.

        Raises:
            TemplateFailed: It is not valid Jinja; the message names the line.
        """
        self.source = source
        self._specials = {"bos_token": bos_text, "eos_token": eos_text}
        self._wants_short_ids = _SHORT_IDS.search(source) is not None
        self._may_want_parts = _ASKS_TYPE.search(source) is not None
        self._wants_parts = False
        try:
            self._template = _Environment().from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise _failed(f"line {error.lineno}: {error.message}") from None
        except MemoryError:
            raise
        except Exception as error:  # a hostile source can fail in ways of the parser's own
            raise _failed(_words(error)) from None

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        think: Think = None,
    ) -> str:
        """Return the prompt that asks for an answer to ``messages``.

        Where the last of them is the assistant's, the answer goes on with it.

        A template that fails on a fair conversation is told it in its own way
        (``concessions.py``): without a system role, say, the opening system text is part of the
        user's first turn.

        Args:
            messages: The conversation; what its tool calls leave out is filled in.
            tools: What the model may call; none: the template does not hear of tools.
            think: Told to the template by the variables that templates use for it.

        Raises:
            TemplateFailed: The template raised, or its output is over ``MAX_CHARS``.
            MemoryError: It met the limit that the caller set.
        """
        turns = linked(without_empty_turn(messages))
        if self._wants_short_ids:
            turns = with_short_ids(turns)
        variables = {
            # transformers passes these, and templates ask whether they are none
            "tools": [tool_object(tool) for tool in tools] or None,
            "documents": None,
            **think_variables(think),
        }
        told = Told(turns, variables)
        for _ in range(_MOST_CONCESSIONS):
            try:
                return self._generate(told)
            except (TemplateFailed, _RaisedByTemplate) as error:
                is_own = isinstance(error, _RaisedByTemplate)
                instead = conceded(Failure(self.source, str(error), is_own=is_own), told)
                if instead is None:
                    raise (_failed(_words(error)) if is_own else error) from None
                told = instead
        raise _failed("it refuses this conversation in every form")

    def _generate(self, told: Told) -> str:
        """Run the template; what it raises on purpose is ``_RaisedByTemplate``.

        Some of models that see know turns as lists of parts only, and say nothing of plain text.
        """
        if self._wants_parts:
            return self._run(told, in_parts=True)
        prompt = self._run(told)
        if not self._may_want_parts or _has_question(prompt, told.turns):
            return prompt
        try:
            in_parts = self._run(told, in_parts=True)
        except (TemplateFailed, _RaisedByTemplate):
            return prompt
        self._wants_parts = _has_question(in_parts, told.turns)
        return in_parts if self._wants_parts else prompt

    def _run(self, told: Told, *, in_parts: bool = False) -> str:
        pieces: list[str] = []
        n_chars = 0
        continues = is_continued(told.turns)
        turns = marked(told.turns) if continues else told.turns
        texts = told.has_text_arguments
        try:
            for piece in self._template.generate(
                messages=[
                    turn_object(turn, has_text_arguments=texts, in_parts=in_parts) for turn in turns
                ],
                add_generation_prompt=not continues,
                **told.variables,
                **self._specials,
            ):
                n_chars += len(piece)
                if n_chars > MAX_CHARS:
                    raise _TooLarge
                pieces.append(piece)
        except (TemplateFailed, _RaisedByTemplate, MemoryError):
            raise
        except Exception as error:  # whatever a stranger's program can raise
            raise _failed(_words(error)) from None
        prompt = "".join(pieces)
        cut_prompt = cut(prompt) if continues else prompt
        if cut_prompt is None:
            raise _failed("it leaves out the last turn, which the answer was to continue")
        return cut_prompt


def new_environment() -> jinja2.Environment:
    """Return what templates are compiled in; for looking at a source without running it."""
    return _Environment()


def _has_question(prompt: str, turns: Sequence[Message]) -> bool:
    """Whether the user's last words are in the prompt; true where there are none."""
    said = [turn.content.strip() for turn in turns if turn.role == "user"]
    return not said or said[-1] in prompt


def plain_prompt(messages: Sequence[Message]) -> str:
    """Return the prompt for a model that has no template: its messages, one after the other."""
    return "\n".join(message.content for message in messages)


class _TooLarge(Exception):
    def __str__(self) -> str:
        return f"it makes more than {MAX_CHARS} characters, or numbers without end"


class _RaisedByTemplate(Exception):
    """The template called ``raise_exception``."""


class _GenerationTag(Extension):
    """``{% generation %}``: marks the assistant's words for training; here only its body counts."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it as an instance attribute

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_body")
        return CallBlock(call, [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, with the names that chat templates rely on.

    Source: ``transformers/utils/chat_template_utils.py``.
    """

    # Arithmetic runs inside one C call, where no time limit reaches it.
    intercepted_binops = frozenset(["*", "**"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
        )
        self.filters["tojson"] = _tojson
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now
        self.globals["namespace"] = _Namespace

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse the operations that make much out of little."""
        if isinstance(left, int) and isinstance(right, int):
            factor = abs(right) if operator == "**" else 1
            if (left.bit_length() + right.bit_length()) * factor > _MAX_BITS:
                raise _TooLarge
        elif operator == "*" and _size(left) * _size(right) > MAX_CHARS:
            raise _TooLarge
        return super().call_binop(context, operator, left, right)


class _Namespace(jinja2.utils.Namespace):
    """Without names that begin with an underscore, as in ``transformers``."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, args = args[0], args[1:]
        given = dict(*args, **kwargs)
        for name in given:
            _refuse_hidden(name)
        jinja2.utils.Namespace.__init__(self, given)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_hidden(name)
        super().__setitem__(name, value)


def _refuse_hidden(name: object) -> None:
    if str(name).startswith("_"):
        raise SecurityError(f"a namespace cannot hold the name {str(name)[:40]!r}")


def _size(value: Any) -> int:
    """What a value multiplies by: its number, or its length."""
    if isinstance(value, int):
        return abs(value)
    return len(value) if isinstance(value, str | list | tuple) else 0


def _raise_exception(message: object) -> NoReturn:
    raise _RaisedByTemplate(str(message)[:500])


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(str(form)[:200])


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """jinja2's own ``tojson`` escapes HTML characters, which no model was trained on."""
    text = json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
        default=_list_of,
    )
    return unescape_marks(text) if ensure_ascii else text


def _list_of(value: Any) -> list[Any]:
    """What ``map`` and its like bring, which templates write without making it a list first."""
    if isinstance(value, Generator):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _words(error: Exception) -> str:
    if isinstance(error, _RaisedByTemplate):
        return str(error) or "it refuses this conversation"
    return str(error)[:500] or type(error).__name__


def _failed(reason: str) -> TemplateFailed:
    return TemplateFailed(
        f"the model's chat template failed: {reason}",
        hint="check the order and roles of the messages, or send a raw prompt",
    )

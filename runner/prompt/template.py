"""A model's own chat template, rendered the way its makers did (as ``transformers`` renders it).

The template is a program that a stranger wrote.  It runs in jinja2's immutable sandbox, without
files, network or Python objects, and the size of the whole prompt is limited here.  How long it
may run and how much memory it may take is for the caller to enforce (``engine/prepare.py``):
neither can be stopped from inside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runner.domain.chat import Message
from runner.errors import TemplateFailed

#: Characters that a prompt, or one multiplication in a template, may have.
MAX_CHARS = 32 * 1024 * 1024
#: Bits of the integers that a template may compute with.
_MAX_BITS = 4096


class ChatTemplate:
    """A compiled chat template; safe from any thread."""

    def __init__(self, source: str, *, bos_text: str = "", eos_text: str = "") -> None:
        """Compile ``source``.

        Raises:
            TemplateFailed: It is not valid Jinja; the message names the line.
        """
        self._specials = {"bos_token": bos_text, "eos_token": eos_text}
        try:
            self._template = _Environment().from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise _failed(f"line {error.lineno}: {error.message}") from None
        except MemoryError:
            raise
        except Exception as error:  # a hostile source can fail in ways of the parser's own
            raise _failed(_words(error)) from None

    def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt that asks for an answer to ``messages``.

        Raises:
            TemplateFailed: The template raised, or its output is over ``MAX_CHARS``.
            MemoryError: It met the limit that the caller set.
        """
        turns = [{"role": message.role, "content": message.content} for message in messages]
        pieces: list[str] = []
        n_chars = 0
        try:
            for piece in self._template.generate(
                messages=turns,
                tools=None,  # transformers passes both, and templates ask whether they are none
                documents=None,
                add_generation_prompt=True,
                **self._specials,
            ):
                n_chars += len(piece)
                if n_chars > MAX_CHARS:
                    raise _TooLarge
                pieces.append(piece)
        except (TemplateFailed, MemoryError):
            raise
        except Exception as error:  # whatever a stranger's program can raise
            raise _failed(_words(error)) from None
        return "".join(pieces)


def new_environment() -> jinja2.Environment:
    """Return what templates are compiled in; for looking at a source without running it."""
    return _Environment()


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

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse the operations that make much out of little."""
        if isinstance(left, int) and isinstance(right, int):
            factor = abs(right) if operator == "**" else 1
            if (left.bit_length() + right.bit_length()) * factor > _MAX_BITS:
                raise _TooLarge
        elif operator == "*" and _size(left) * _size(right) > MAX_CHARS:
            raise _TooLarge
        return super().call_binop(context, operator, left, right)


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
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _words(error: Exception) -> str:
    if isinstance(error, _RaisedByTemplate):
        return str(error) or "it refuses this conversation"
    return str(error)[:500] or type(error).__name__


def _failed(reason: str) -> TemplateFailed:
    return TemplateFailed(
        f"the model's chat template failed: {reason}",
        hint="check the order and roles of the messages, or send a raw prompt",
    )

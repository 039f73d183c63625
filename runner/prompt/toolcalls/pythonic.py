"""Calls as Python writes them: ``[weather(city="Berlin", days=3), clock()]``.

Gemma 3 writes them in a fence, ``tool_code`` or JSON; LFM 2 between two control tokens.  They are
told once they are whole.

Source: LFM 2's chat template, and Google's guide to function calling with Gemma 3.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Sequence
from typing import Any

from runner.domain.chat import Tool
from runner.prompt.toolcalls.generic import Generic
from runner.prompt.toolcalls.grammar import listed, wrapped
from runner.prompt.toolcalls.json_calls import Call, call_list, whole_calls
from runner.prompt.toolcalls.source import (
    NotACall,
    Read,
    Source,
    close,
    more,
    some,
    space,
    until,
)

BEGIN, END = "<|tool_call_start|>", "<|tool_call_end|>"
CONTROLS = (BEGIN, END)
_MAX_CODE = 1 << 16  # characters that are given to Python's parser


class Lfm:
    """A list of calls, in Python or in JSON, between two markers."""

    openers: tuple[str, ...] = (BEGIN,)
    leads: tuple[str, ...] = ()

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read the list."""
        yield from space(source)
        if (yield from _is_json(source)):
            yield from call_list(source)
        else:
            yield from whole_calls(source, _calls_in((yield from bracketed(source))))
        yield from close(source, (END,))

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of a list in JSON, whose arguments a schema can say."""
        gap = ", " if several else None
        return listed(f"{BEGIN}[", tools, f"]{END}", gap=gap, markers=CONTROLS)


class Gemma:
    """A fence with calls in Python or JSON, or either as the whole answer."""

    openers: tuple[str, ...] = ("```tool_code",)
    leads: tuple[str, ...] = ("{", "[", "```python", "```json")

    def read(self, source: Source, opener: str) -> Read[None]:
        """Read what is in the fence, or the list."""
        if opener.startswith("```") and not opener.endswith("json"):
            code = yield from until(source, "```", n_most=_MAX_CODE)
            yield from whole_calls(source, _calls_in(code))
            return
        if opener == "[":
            source.back(opener)
            if not (yield from _is_json(source)):
                calls = _calls_in((yield from bracketed(source)))
                yield from space(source)
                if source.text:
                    raise NotACall
                yield from whole_calls(source, calls)
                return
            source.take(1)
        yield from Generic().read(source, opener)

    def grammar(self, tools: Sequence[Tool], *, several: bool) -> str:
        """Return the grammar of one object in JSON, whose arguments a schema can say."""
        return wrapped("", tools, "", gap=None)


def bracketed(source: Source) -> Read[str]:
    """Read a list in square brackets, Python's strings aside.

    Raises:
        NotACall: None comes, or it is too long.
    """
    yield from some(source)
    if source.text[0] != "[":
        raise NotACall
    depth, quote, is_escaped, at = 0, "", False, 0
    while True:
        while at < len(source.text):
            char = source.text[at]
            at += 1
            if quote:
                quote = quote if is_escaped or char != quote else ""
                is_escaped = char == "\\" and not is_escaped
            elif char in "\"'":
                quote = char
            else:
                depth += (char == "[") - (char == "]")
                if not depth:
                    return source.take(at)
        if at > _MAX_CODE:
            raise NotACall
        yield from more(source)


def _is_json(source: Source) -> Read[bool]:
    """Whether an object, or an array of objects, comes; nothing is read."""
    while True:
        head = "".join(source.text[:4096].split())
        if head[:1] == "{" or head[:2] == "[{":
            return True
        if head not in ("", "["):
            return False
        yield from more(source)


def _calls_in(code: str) -> list[Call]:
    """Return the calls that a piece of Python consists of; nothing of it is run.

    Raises:
        NotACall: It is something else.
    """
    try:
        with warnings.catch_warnings():  # of escapes that Python has not
            warnings.simplefilter("ignore")
            tree = ast.parse(code.strip(), mode="exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise NotACall from None
    calls = []
    for line in tree.body:
        if not isinstance(line, ast.Expr):
            raise NotACall
        value = line.value
        entries = value.elts if isinstance(value, ast.List) else [value]
        calls += [_call(entry) for entry in entries]
    return calls


def _call(node: ast.expr) -> Call:
    if not isinstance(node, ast.Call):
        raise NotACall
    name = _name(node.func)
    if name == "print" and len(node.args) == 1:  # as Gemma was shown to do
        return _call(node.args[0])
    if node.args:
        raise NotACall
    return Call(name, {key.arg: _value(key.value) for key in node.keywords if key.arg})


def _name(node: ast.expr) -> str:
    """The name, dots and all; step by step, as a stranger's may have thousands of them."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise NotACall
    return ".".join((node.id, *reversed(parts)))


def _value(node: ast.expr) -> Any:
    try:
        return _as_json(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise NotACall from None


def _as_json(value: Any) -> Any:
    """``value`` if JSON has it; tuples and sets become lists."""
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case dict():
            return {str(key): _as_json(inner) for key, inner in value.items()}
        case list() | tuple() | set():
            return [_as_json(inner) for inner in value]
        case _:
            raise NotACall

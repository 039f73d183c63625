"""A template's tree run over a value.

The template is a program that a stranger wrote.  It can reach nothing but the value and the
functions here; the size of what it writes, and of each text it makes, is limited here as well.  How
long it may run is for the caller to enforce: it is Python all along, so an exception raised in its
thread ends it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import NoReturn

from runner.prompt.gotemplate.functions import FUNCTIONS, SHORT_CIRCUIT, CallFailed
from runner.prompt.gotemplate.lex import BadTemplate
from runner.prompt.gotemplate.nodes import (
    Action,
    Branch,
    Break,
    Call,
    Chain,
    Const,
    Continue,
    Dot,
    Field,
    Function,
    Nil,
    Node,
    Nodes,
    Operand,
    Pipe,
    Text,
    Tree,
    Variable,
)
from runner.prompt.gotemplate.scalars import whole
from runner.prompt.gotemplate.values import (
    NIL,
    Struct,
    Value,
    bare,
    held,
    is_true,
    printable,
    sorted_keys,
    type_name,
)

#: Characters that a prompt, or one text on the way to it, may have.
MAX_CHARS = 32 * 1024 * 1024
#: Templates that call each other.
_MAX_CALLS = 100


class _Absent:
    """There is no value from the command before."""


_ABSENT = _Absent()


class _Leave(Exception):
    """``break``."""


class _Next(Exception):
    """``continue``."""


def execute(tree: Tree, value: Value) -> str:
    """Return what the template writes for ``value``.

    Raises:
        BadTemplate: It cannot go on; with the line, and in Go's words.
    """
    run = _Run(tree)
    try:
        run.nodes(tree.root, value)
    except RecursionError:
        raise BadTemplate(run.line, "exceeded maximum template depth") from None
    return whole("".join(run.pieces))


class _Run:
    """One run; ``line`` is where it is."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._n_chars = 0
        self._n_calls = 0
        self._variables: list[tuple[str, Value]] = []
        self.pieces: list[str] = []
        self.line = 0

    def nodes(self, nodes: Nodes, dot: Value) -> None:
        """Run the root of a template: ``$`` is its dot, and no other variable is known."""
        outer, self._variables = self._variables, [("", dot)]
        self._walk(nodes, dot)
        self._variables = outer

    def _walk(self, nodes: Iterable[Node], dot: Value) -> None:
        for node in nodes:
            match node:
                case Text():
                    self._write(node.text)
                case Action():
                    value = self._pipe(node.pipe, dot)
                    if not node.pipe.declared:
                        self._write(printable(value))
                case Branch():
                    n_variables = len(self._variables)
                    if node.word == "range":
                        self._range(node, dot)
                    else:
                        self._branch(node, dot)
                    del self._variables[n_variables:]
                case Call():
                    self._call(node, dot)
                case Break():
                    raise _Leave
                case Continue():
                    raise _Next

    def _write(self, text: str) -> None:
        self._n_chars += len(text)
        if self._n_chars > MAX_CHARS:
            self._fail(f"it makes more than {MAX_CHARS} characters")
        self.pieces.append(text)

    def _fail(self, reason: str) -> NoReturn:
        raise BadTemplate(self.line, reason)

    # Branches

    def _branch(self, node: Branch, dot: Value) -> None:
        value = self._pipe(node.pipe, dot)
        if not is_true(value):
            self._walk(node.otherwise, dot)
        else:
            self._walk(node.body, value if node.word == "with" else dot)

    def _range(self, node: Branch, dot: Value) -> None:
        value = self._pipe(node.pipe, dot)
        n_variables = len(self._variables)
        is_empty = True
        try:
            for index, element in self._elements(node.pipe, value):
                is_empty = False
                self._bind(node.pipe, index, element)
                with contextlib.suppress(_Next):
                    self._walk(node.body, element)
                del self._variables[n_variables:]
        except _Leave:
            return
        if is_empty:
            self._walk(node.otherwise, dot)

    def _elements(self, pipe: Pipe, value: Value) -> Iterable[tuple[Value, Value]]:
        match bare(value):
            case list() as items:
                return ((index, held(item)) for index, item in enumerate(items))
            case dict() as entries:
                return ((key, held(entries[key])) for key in sorted_keys(entries))
            case int() as n if not isinstance(n, bool):
                if len(pipe.declared) > 1:
                    self._fail(f"can't use {n} to iterate over more than one variable")
                return ((None, number) for number in range(n))
            case None:
                return ()
            case _:
                pass
        self._fail(f"range can't iterate over {printable(value)[:40]}")

    def _bind(self, pipe: Pipe, index: Value, element: Value) -> None:
        """Give the variables of a ``range`` their values of this turn."""
        values = (element,) if len(pipe.declared) == 1 else (index, element)
        for place, (name, value) in enumerate(zip(pipe.declared, values, strict=False)):
            if pipe.is_assignment:
                self._assign(name, value)
            else:  # they are the last ones: a body's own are gone after each turn
                self._variables[place - len(pipe.declared)] = (name, value)

    def _call(self, node: Call, dot: Value) -> None:
        self.line = node.line
        called = self._tree.root if not node.name else self._tree.defined.get(node.name)
        if called is None:
            self._fail(f'template "{node.name}" not defined')
        value = self._pipe(node.pipe, dot) if node.pipe else None
        self._n_calls += 1
        if self._n_calls > _MAX_CALLS:
            self._fail(f"exceeded maximum template depth ({_MAX_CALLS})")
        self.nodes(called, value)
        self._n_calls -= 1

    # Values

    def _assign(self, name: str, value: Value) -> None:
        for place in reversed(range(len(self._variables))):
            if self._variables[place][0] == name:
                self._variables[place] = (name, value)
                return
        self._fail(f"undefined variable: ${name}")

    def _pipe(self, pipe: Pipe, dot: Value) -> Value:
        self.line = pipe.line
        value: Value = _ABSENT
        for command in pipe.commands:
            value = bare(self._command(command, dot, value))
            if isinstance(value, str) and len(value) > MAX_CHARS:
                self._fail(f"it makes a text of more than {MAX_CHARS} characters")
        for name in pipe.declared:
            if pipe.is_assignment:
                self._assign(name, value)
            else:
                self._variables.append((name, value))
        return value

    def _command(self, command: tuple[Operand, ...], dot: Value, last: Value) -> Value:
        """Evaluate one command; ``last`` is the value of the one before it."""
        first, *arguments = command
        has_arguments = bool(arguments) or last is not _ABSENT
        if isinstance(first, Function):
            return self._function(first.name, arguments, dot, last)
        value = self._operand(first, dot, has_arguments=has_arguments)
        if has_arguments and not _has_names(first):
            self._fail(f"can't give argument to non-function {_shown(first)}")
        return value

    def _operand(self, operand: Operand, dot: Value, *, has_arguments: bool = False) -> Value:
        match operand:
            case Const():
                return operand.value
            case Dot():
                return dot
            case Nil():
                self._fail("nil is not a command")
            case Field():
                return self._fields(dot, operand.names, has_arguments)
            case Variable():
                return self._fields(self._variable(operand.name), operand.names, has_arguments)
            case Function():
                return self._function(operand.name, [], dot, _ABSENT)
            case Chain():
                if isinstance(operand.operand, Nil):
                    self._fail("indirection through explicit nil")
                return self._fields(self._argument(operand.operand, dot), operand.names)
            case Pipe():
                return self._pipe(operand, dot)

    def _argument(self, operand: Operand, dot: Value) -> Value:
        return None if isinstance(operand, Nil) else self._operand(operand, dot)

    def _variable(self, name: str) -> Value:
        for known, value in reversed(self._variables):
            if known == name:
                return value
        self._fail(f"undefined variable: ${name}")

    def _fields(self, value: Value, names: tuple[str, ...], has_arguments: bool = False) -> Value:
        for number, name in enumerate(names, 1):
            value = self._field(value, name, has_arguments and number == len(names))
        return value

    def _field(self, value: Value, name: str, has_arguments: bool) -> Value:
        match value:
            case None:
                return None
            case dict():
                if has_arguments:
                    self._fail(f"{name} is not a method but has arguments")
                return held(value.get(name))
            case Struct():
                if method := value.methods.get(name):
                    if has_arguments:
                        self._fail(f"wrong number of args for {name}: want 0 got 1")
                    return method()
                if name in value.fields:
                    if has_arguments:
                        self._fail(f"{name} has arguments but cannot be invoked as function")
                    return held(value.fields[name])
            case _:
                pass
        if value is NIL:
            self._fail(f"nil pointer evaluating interface {{}}.{name}")
        self._fail(f"can't evaluate field {name} in type {type_name(value)}")

    def _function(self, name: str, arguments: list[Operand], dot: Value, last: Value) -> Value:
        builtin = FUNCTIONS[name]
        n_given = len(arguments) + (last is not _ABSENT)
        if n_given < builtin.low or (builtin.high is not None and n_given > builtin.high):
            least = "at least " if builtin.high is None else ""
            self._fail(f"wrong number of args for {name}: want {least}{builtin.low} got {n_given}")
        if name in SHORT_CIRCUIT:
            return self._first_that(name == "or", arguments, dot, last)
        if builtin.wants_text and arguments and isinstance(arguments[0], Const | Nil):
            self._check_text(arguments[0])
        values = [self._argument(argument, dot) for argument in arguments]
        if last is not _ABSENT:
            values.append(last)
        if builtin.wants_text and not isinstance(values[0], str):
            self._fail(f"wrong type for value; expected string; got {type_name(values[0])}")
        try:
            return builtin.call(values)
        except CallFailed as error:
            self._fail(f"error calling {name}: {error}")

    def _check_text(self, argument: Const | Nil) -> None:
        if isinstance(argument, Nil):
            self._fail("cannot assign nil to string")
        if not isinstance(argument.value, str):
            self._fail(f"expected string; found {printable(argument.value)}")

    def _first_that(self, truth: bool, arguments: list[Operand], dot: Value, last: Value) -> Value:
        """``or`` is the first that is true, ``and`` the first that is not; else the last one."""
        value: Value = None
        for argument in arguments:
            value = self._argument(argument, dot)
            if is_true(value) is truth:
                return value
        return value if last is _ABSENT else last


def _has_names(operand: Operand) -> bool:
    return isinstance(operand, Field | Chain) or (
        isinstance(operand, Variable) and bool(operand.names)
    )


def _shown(operand: Operand) -> str:
    match operand:
        case Const():
            return printable(operand.value)
        case Dot():
            return "."
        case Variable():
            return f"${operand.name}"
        case _:
            return "(...)"

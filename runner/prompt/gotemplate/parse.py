"""Tokens to a tree, with the errors of Go's own parser in its own words.

Nothing is run here, so the daemon may parse what a stranger wrote: time is linear, depth limited.
"""

from __future__ import annotations

import re
from typing import NoReturn

from runner.prompt.gotemplate.functions import FUNCTIONS
from runner.prompt.gotemplate.lex import BadTemplate, Kind, Token, tokens
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
from runner.prompt.gotemplate.scalars import number, unquote

#: Characters of a source; the largest templates in use have a twentieth of it.
MAX_SOURCE = 1 << 20
#: Blocks and parentheses inside each other; each costs a few frames of Python's stack.
_MAX_DEPTH = 100
_OPERANDS = frozenset(
    {
        *(Kind.BOOL, Kind.CHAR, Kind.DOT, Kind.FIELD, Kind.WORD),
        *(Kind.NUMBER, Kind.STRING, Kind.VARIABLE),
    }
)


def parse(source: str) -> Tree:
    """Return the tree of a template.

    Raises:
        BadTemplate: It is none; with the line.
    """
    if len(source) > MAX_SOURCE:
        raise BadTemplate(0, f"it has more than {MAX_SOURCE} characters")
    return _Parser(source).parse()


class _End:
    """What ends a list of nodes: ``end``, ``else``, or ``else`` with a further branch."""

    def __init__(self, word: str, then: str = "") -> None:
        self.word = word
        self.then = then


class _Parser:
    def __init__(self, source: str) -> None:
        self._tokens = list(tokens(source))
        self._at = 0
        self._depth = 0
        self._variables = [""]  # names without their sign; ``$`` itself is always there
        self._n_ranges = 0
        self._defined: dict[str, Nodes] = {}

    def parse(self) -> Tree:
        root: list[Node] = []
        while self._peek().kind is not Kind.END:
            token = self._next()
            if token.kind is Kind.TEXT:
                root.append(Text(token.text))
                continue
            if self._skip_space().text == "define" and self._peek().kind is Kind.KEYWORD:
                self._next()
                self._definition()
                continue
            node = self._action(token.line)
            if isinstance(node, _End):
                _fail(token, f"unexpected {{{{{node.word}}}}}")
            root.append(node)
        return Tree(tuple(root), self._defined)

    # Tokens

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += token.kind is not Kind.END
        return token

    def _skip_space(self) -> Token:
        while self._tokens[self._at].kind is Kind.SPACE:
            self._at += 1
        return self._tokens[self._at]

    def _next_solid(self) -> Token:
        self._skip_space()
        return self._next()

    def _expect_right(self, context: str) -> None:
        token = self._next_solid()
        if token.kind is not Kind.RIGHT:
            _fail(token, f"unexpected {token} in {context}")

    def _deeper(self, token: Token) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            _fail(token, "max expression depth exceeded")

    # Lists and branches

    def _nodes(self) -> tuple[Nodes, _End]:
        """The nodes up to ``end`` or ``else``."""
        self._deeper(self._peek())
        found: list[Node] = []
        while (token := self._next()).kind is not Kind.END:
            if token.kind is Kind.TEXT:
                found.append(Text(token.text))
                continue
            node = self._action(token.line)
            if isinstance(node, _End):
                self._depth -= 1
                return tuple(found), node
            found.append(node)
        _fail(token, "unexpected EOF")

    def _action(self, line: int) -> Node | _End:
        """What stands behind ``{{``, its end included."""
        token = self._skip_space()
        if token.kind is not Kind.KEYWORD or token.text in ("nil", "define"):
            return Action(self._pipe("command", line))
        self._next()
        match token.text:
            case "if" | "with" | "range":
                return self._branch(token.text, line)
            case "end":
                self._expect_right("end")
                return _End("end")
            case "else":
                return self._else()
            case "break" | "continue":
                return self._leave(token)
            case "template":
                return self._call(line)
            case _:
                return self._block(line)

    def _else(self) -> _End:
        token = self._skip_space()
        if token.kind is Kind.KEYWORD and token.text in ("if", "with"):
            return _End("else", token.text)
        self._expect_right("else")
        return _End("else")

    def _leave(self, token: Token) -> Node:
        self._expect_right(f"{{{{{token.text}}}}}")
        if not self._n_ranges:
            _fail(token, f"{{{{{token.text}}}}} outside {{{{range}}}}")
        return Break() if token.text == "break" else Continue()

    def _branch(self, word: str, line: int) -> Branch:
        n_variables = len(self._variables)
        pipe = self._pipe(word, line)
        self._n_ranges += word == "range"
        body, end = self._nodes()
        self._n_ranges -= word == "range"
        otherwise: Nodes = ()
        if end.word == "else":
            if end.then and end.then == word:
                token = self._next()
                self._deeper(token)
                otherwise = (self._branch(word, token.line),)
                self._depth -= 1
            else:
                token = self._peek()
                otherwise, end = self._nodes() if not end.then else self._refuse_else(token)
                if end.word != "end":
                    _fail(token, f"expected end; found {{{{{end.word}}}}}")
        del self._variables[n_variables:]
        return Branch(word, pipe, body, otherwise)

    def _refuse_else(self, token: Token) -> NoReturn:
        _fail(token, f"unexpected {token} in input")

    # Named templates

    def _definition(self) -> None:
        token = self._next_solid()
        name = self._name(token, "define clause")
        self._expect_right("define clause")
        self._add(token, name, self._own_nodes("define clause"))

    def _block(self, line: int) -> Call:
        token = self._next_solid()
        name = self._name(token, "block clause")
        pipe = self._pipe("block clause", line)
        self._add(token, name, self._own_nodes("block clause"))
        return Call(name, pipe, line)

    def _call(self, line: int) -> Call:
        name = self._name(self._next_solid(), "template clause")
        if self._skip_space().kind is Kind.RIGHT:
            self._next()
            return Call(name, None, line)
        return Call(name, self._pipe("template clause", line), line)

    def _name(self, token: Token, context: str) -> str:
        if token.kind is not Kind.STRING:
            _fail(token, f"unexpected {token} in {context}")
        return _text(token)

    def _own_nodes(self, context: str) -> Nodes:
        """The nodes of a template of its own: with no variables, and in no ``range``."""
        outer = self._variables, self._n_ranges
        self._variables, self._n_ranges = [""], 0
        token = self._peek()
        found, end = self._nodes()
        if end.word != "end":
            _fail(token, f"unexpected {{{{{end.word}}}}} in {context}")
        self._variables, self._n_ranges = outer
        return found

    def _add(self, token: Token, name: str, found: Nodes) -> None:
        if not _is_empty(self._defined.get(name, ())):
            if not _is_empty(found):
                _fail(token, f'multiple definition of template "{name}"')
            return
        self._defined[name] = found

    # Pipes

    def _pipe(self, context: str, line: int, end: str = "}}") -> Pipe:
        declared, is_assignment = self._declarations(context)
        commands: list[tuple[Operand, ...]] = []
        while True:
            token = self._skip_space()
            if token.text == end and token.kind in (Kind.RIGHT, Kind.SIGN):
                self._next()
                break
            is_operand = token.kind in _OPERANDS or (token.kind, token.text) in (
                (Kind.SIGN, "("),
                (Kind.KEYWORD, "nil"),
            )
            if not is_operand:
                _fail(token, f"unexpected {token} in {context}")
            commands.append(self._command())
        if not commands:
            _fail(token, f"missing value for {context}")
        for stage, (first, *_) in enumerate(commands[1:], 2):
            if isinstance(first, Const | Dot | Nil):
                _fail(token, f"non executable command in pipeline stage {stage}")
        return Pipe(tuple(commands), line, tuple(declared), is_assignment)

    def _declarations(self, context: str) -> tuple[list[str], bool]:
        """The variables before ``:=`` or ``=``, and whether it is ``=``."""
        declared: list[str] = []
        while self._skip_space().kind is Kind.VARIABLE:
            begin = self._at
            variable = self._next()
            sign = self._skip_space()
            if sign.kind is not Kind.SIGN or sign.text not in (":=", "=", ","):
                self._at = begin
                break
            self._next()
            declared.append(variable.text[1:])
            self._variables.append(variable.text[1:])
            if sign.text != ",":
                return declared, sign.text == "="
            if context != "range" or len(declared) > 1:
                _fail(sign, f"too many declarations in {context}")
            following = self._skip_space()
            if following.kind not in (Kind.VARIABLE, Kind.RIGHT) and following.text != ")":
                _fail(sign, "range can only initialize variables")
        return declared, False

    def _command(self) -> tuple[Operand, ...]:
        found: list[Operand] = []
        while True:
            self._skip_space()
            operand = self._operand()
            if operand is not None:
                found.append(operand)
            token = self._next()
            if token.kind is Kind.SPACE:
                continue
            if token.kind is Kind.RIGHT or (token.kind is Kind.SIGN and token.text == ")"):
                self._at -= 1
            elif token.kind is not Kind.SIGN or token.text != "|":
                _fail(token, f"unexpected {token} in operand")
            break
        if not found:
            _fail(token, "empty command")
        return tuple(found)

    def _operand(self) -> Operand | None:
        token = self._peek()
        operand = self._term()
        if operand is None:
            return None
        names: list[str] = []
        while self._peek().kind is Kind.FIELD:
            names.append(self._next().text[1:])
        if not names:
            return operand
        match operand:
            case Field():
                return Field((*operand.names, *names))
            case Variable():
                return Variable(operand.name, (*operand.names, *names))
            case Const() | Nil() | Dot():
                _fail(token, f"unexpected . after term {token}")
            case _:
                return Chain(operand, tuple(names))

    def _term(self) -> Operand | None:
        token = self._next()
        match token.kind:
            case Kind.WORD:
                if token.text not in FUNCTIONS:
                    _fail(token, f'function "{token.text}" not defined')
                return Function(token.text)
            case Kind.DOT:
                return Dot()
            case Kind.KEYWORD if token.text == "nil":
                return Nil()
            case Kind.VARIABLE:
                if token.text[1:] not in self._variables:
                    _fail(token, f'undefined variable "{token.text}"')
                return Variable(token.text[1:])
            case Kind.FIELD:
                return Field((token.text[1:],))
            case Kind.BOOL | Kind.NUMBER | Kind.CHAR | Kind.STRING:
                return Const(_constant(token))
            case Kind.SIGN if token.text == "(":
                self._deeper(token)
                pipe = self._pipe("parenthesized pipeline", token.line, ")")
                self._depth -= 1
                return pipe
        self._at -= token.kind is not Kind.END
        return None


def _constant(token: Token) -> str | int | float:
    if token.kind is Kind.BOOL:
        return token.text == "true"
    if token.kind is Kind.STRING:
        return _text(token)
    try:
        if token.kind is Kind.CHAR:
            inner = unquote(token.text)
            if len(inner) != 1:
                raise ValueError(f"malformed character constant: {token.text}")
            return ord(inner)
        return number(token.text)
    except ValueError as error:
        raise BadTemplate(token.line, str(error)) from None


def _text(token: Token) -> str:
    try:
        return unquote(token.text)
    except ValueError:
        raise BadTemplate(token.line, "invalid syntax in a quoted string") from None


def _is_empty(nodes: Nodes) -> bool:
    return all(isinstance(node, Text) and not re.search(r"\S", node.text) for node in nodes)


def _fail(token: Token, reason: str) -> NoReturn:
    raise BadTemplate(token.line, reason)

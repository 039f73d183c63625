"""The tree of a Go template; made by ``parse``, run by ``execute``, never changed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dot:
    """``.``: the value that is looked at."""


@dataclass(frozen=True, slots=True)
class Nil:
    """``nil``."""


@dataclass(frozen=True, slots=True)
class Const:
    """A text, a number or a truth value."""

    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class Field:
    """``.A.B``."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """``$x.A.B``; ``$`` alone has the empty name."""

    name: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    """A function by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Chain:
    """``(…).A.B``."""

    operand: Operand
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands, each of which gets the value of the one before as its last argument.

    Attributes:
        commands: Each is what is evaluated or called, and its arguments.
        line: Where it stands.
        declared: Variables that get its value.
        is_assignment: They are there already.
    """

    commands: tuple[tuple[Operand, ...], ...]
    line: int
    declared: tuple[str, ...] = ()
    is_assignment: bool = False


Operand = Dot | Nil | Const | Field | Variable | Function | Chain | Pipe


@dataclass(frozen=True, slots=True)
class Text:
    """What is written as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """A value that is written, unless it is kept in a variable."""

    pipe: Pipe


@dataclass(frozen=True, slots=True)
class Branch:
    """``if``, ``with`` or ``range``: a body, and another for when there is nothing."""

    word: str
    pipe: Pipe
    body: Nodes
    otherwise: Nodes = ()


@dataclass(frozen=True, slots=True)
class Call:
    """``template``: another template, with the value of ``pipe`` as its dot."""

    name: str
    pipe: Pipe | None
    line: int


@dataclass(frozen=True, slots=True)
class Break:
    """Leave the ``range``."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on with the next of the ``range``."""


Node = Text | Action | Branch | Call | Break | Continue
Nodes = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole template, and those that it defines by name."""

    root: Nodes
    defined: dict[str, Nodes]

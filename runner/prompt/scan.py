"""What a stranger's chat template could be up to, found by parsing it and never by running it.

Rendering happens in a sandbox inside a worker, so no finding here is a hole in itself.  What is
refused no honest template does: reaching for Python's insides, or text that people cannot see.
What is warned of is worth a look: words that change with the date, or loops over huge numbers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import jinja2
from jinja2 import nodes

from runner.errors import TemplateFailed
from runner.prompt.compiled import check, is_go
from runner.prompt.source import MAX_SOURCE, texts_of
from runner.prompt.template import new_environment

_MANY = 10_000  # rounds of one loop; conversations have fewer turns
#: Tags that read other files, which a chat template has none of.
_FILE_TAGS: tuple[type[nodes.Node], ...] = (
    nodes.Include,
    nodes.Import,
    nodes.FromImport,
    nodes.Extends,
)
#: Invisible characters that writing needs: joiners of Persian, Hindi and of emoji, and a mark that
#: some files begin with.
_HARMLESS = frozenset("\u200c\u200d\ufeff\u00ad")
#: A few of them in a row spell nothing; words can be written in longer runs, a bit in each.
_RUN = re.compile("[\u200c\u200d\ufeff\u00ad\ufe00-\ufe0f]{4,}")
#: Unseen, and yet no format characters: fillers of Hangul, an empty Braille cell, vowels of Khmer
#: and a joiner that have no shape, and what moves a terminal's cursor to write over text.
_UNSEEN = frozenset(
    "\u115f\u1160\u3164\uffa0\u2800\u17b4\u17b5\u034f\u180b\u180c\u180d\x08\x1b\x9b"
)
#: Unicode's invisible copies of ASCII, and selectors of variants that no writing in use has.
_PLANE_14 = range(0xE0000, 0xE0200)
#: Parts of Python's insides that have no underscores before them (``jinja2/sandbox.py``).
_FRAMES = frozenset(
    {
        *("gi_frame", "gi_code", "cr_frame", "cr_code", "ag_frame", "ag_code", "tb_frame"),
        *("f_globals", "f_builtins", "f_locals", "f_back", "func_globals", "func_code", "mro"),
    }
)
#: The same as formats and filters take them: ``{0.__class__}``, ``a.__globals__``.
_INSIDES = re.compile(
    r"(?s:.*?)\{[\w.\[\]]*[.\[](?P<field>__\w+__)"
    r"|[\w.]*(?P<path>__(?:class|globals|builtins|subclasses|mro|bases?|init|import|dict|code)__)"
    r"[\w.]*\Z"
)
_RUN_WORDS = "it holds a run of invisible characters, in which words can be hidden"


class Severity(StrEnum):
    """What a finding means for the file it is in."""

    WARN = "warn"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Attributes:
        severity: Whether to go on.
        code: A stable word for what it is.
        message: What it is, for people.
        line: Where, from 1; 0 when it is nowhere in particular.
    """

    severity: Severity
    code: str
    message: str
    line: int = 0


def scan(template: str) -> tuple[Finding, ...]:
    """Return what is found in ``template``, in the order of its lines; nothing is good."""
    if len(template) > MAX_SOURCE:
        message = f"the template has {len(template)} characters, at most {MAX_SOURCE} are sensible"
        return (Finding(Severity.REFUSE, "too_large", message),)
    found = [*_hidden(template)]
    if is_go(template):  # its language reaches nothing but the conversation
        found += _invalid_go(template)
        return tuple(sorted(set(found), key=lambda finding: (finding.line, finding.code)))
    try:
        tree = new_environment().parse(template)
    except jinja2.TemplateSyntaxError as error:
        message = f"it is not valid Jinja: {error.message}"
        found.append(Finding(Severity.WARN, "invalid", message, error.lineno))
    except (jinja2.TemplateError, RecursionError, ValueError, OverflowError):
        found.append(Finding(Severity.REFUSE, "invalid", "it breaks the parser"))
    else:
        found += [
            *_reaches(tree),
            *_makes_names(tree),
            *_files(tree),
            *_loops(tree),
            *_escaped(tree),
            *_clock(tree),
        ]
    return tuple(sorted(set(found), key=lambda finding: (finding.line, finding.code)))


def _invalid_go(template: str) -> Iterator[Finding]:
    try:
        check(template)
    except TemplateFailed as error:
        yield Finding(Severity.WARN, "invalid", error.message)


def _hidden(template: str) -> Iterator[Finding]:
    """Characters that nobody sees, in the source itself."""
    for number, line in enumerate(template.split("\n"), 1):
        for char in sorted({char for char in line if _is_hidden(char)}):
            name = unicodedata.name(char, "no name")
            message = f"it holds the invisible character U+{ord(char):04X} ({name})"
            yield Finding(Severity.REFUSE, "hidden_text", message, number)
        if _RUN.search(line):
            yield Finding(Severity.REFUSE, "hidden_text", _RUN_WORDS, number)


def _escaped(tree: nodes.Template) -> Iterator[Finding]:
    """The same, written as an escape inside a string."""
    for text in texts_of(tree):
        for char in sorted({char for char in text if _is_hidden(char)}):
            message = f"it writes the invisible character U+{ord(char):04X}"
            yield Finding(Severity.REFUSE, "hidden_text", message)
        if _RUN.search(text):
            yield Finding(Severity.REFUSE, "hidden_text", _RUN_WORDS)


def _is_hidden(char: str) -> bool:
    if char in _HARMLESS:
        return False
    # Cf: format characters, among them those that turn the direction of writing around.
    return char in _UNSEEN or ord(char) in _PLANE_14 or unicodedata.category(char) == "Cf"


def _reaches(tree: nodes.Template) -> Iterator[Finding]:
    """Names that begin with two underscores, or lead into frames, however they are spelt."""
    for attribute in tree.find_all(nodes.Getattr):
        if _is_inside(attribute.attr):
            yield _reach(attribute.attr, attribute.lineno)
    for item in tree.find_all(nodes.Getitem):
        name = _constant(item.arg)
        if isinstance(name, str) and _is_inside(name):
            yield _reach(name, item.lineno)
    for own in tree.find_all(nodes.Name):
        if own.name.startswith("__"):
            yield _reach(own.name, own.lineno)


def _makes_names(tree: nodes.Template) -> Iterator[Finding]:
    """Filters and formats that read attributes by a text."""
    for used in tree.find_all(nodes.Filter):
        if used.name == "attr":
            message = "it reads attributes by names that it makes up, with the filter 'attr'"
            yield Finding(Severity.REFUSE, "attribute_trick", message, used.lineno)
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr) and call.node.attr == "format_map":
            message = "it formats text with 'format_map', which can read attributes"
            yield Finding(Severity.WARN, "attribute_trick", message, call.lineno)
    for text in tree.find_all(nodes.Const):
        if isinstance(text.value, str) and (inside := _INSIDES.match(text.value)):
            yield _reach(inside["field"] or inside["path"], text.lineno)


def _is_inside(name: str) -> bool:
    return name.startswith("__") or name in _FRAMES


def _reach(name: str, line: int) -> Finding:
    message = f"it reaches for '{name[:40]}', a part of Python's insides"
    return Finding(Severity.REFUSE, "attribute_trick", message, line)


def _constant(node: nodes.Expr) -> object:
    """The value of an expression that is always the same, joined strings too; else ``None``."""
    try:
        return node.as_const()
    except (nodes.Impossible, ArithmeticError, TypeError, ValueError):
        return None


def _files(tree: nodes.Template) -> Iterator[Finding]:
    for node in tree.find_all(_FILE_TAGS):
        message = "it wants another file, and chat templates have none"
        yield Finding(Severity.REFUSE, "other_file", message, node.lineno)


def _loops(tree: nodes.Template) -> Iterator[Finding]:
    for call in tree.find_all(nodes.Call):
        if not (isinstance(call.node, nodes.Name) and call.node.name == "range"):
            continue
        for argument in call.args:
            value = argument.value if isinstance(argument, nodes.Const) else 0
            if isinstance(value, int) and abs(value) > _MANY:
                message = f"it counts to {value}"
                yield Finding(Severity.WARN, "long_loop", message, call.lineno)


def _clock(tree: nodes.Template) -> Iterator[Finding]:
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "strftime_now":
            message = "it tells the model the date, so equal conversations make different prompts"
            yield Finding(Severity.WARN, "reads_clock", message, call.lineno)

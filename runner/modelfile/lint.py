"""What is wrong with a Modelfile, or would surprise: all of it at once, each with its line.

Errors keep a model from being made; warnings do not.  The template's own grammar is not known
here: whoever checks one adds what its parser says.
"""

from __future__ import annotations

from runner.domain.create import ModelfileFinding as Finding
from runner.domain.options import OPTION_SPECS
from runner.errors import InvalidRequest
from runner.modelfile.meaning import DEPRECATED, meaning_of
from runner.modelfile.parse import Instruction, parse

#: Of these the last one counts.
_ONCE = frozenset({"template", "system", "requires", "sha256"})
#: For the catalogue of short names alone.
_CATALOGUE = frozenset({"size", "alias"})


def lint(text: str) -> list[Finding]:
    """Return what is to be said about a Modelfile's text, in the order of its lines."""
    try:
        found = parse(text)
    except InvalidRequest as error:
        return [finding_of(error)]
    findings = [finding for one in found if (finding := _error(one))]
    seen: dict[tuple[str, str], Instruction] = {}
    for one in found:
        if warning := _warning(one, seen):
            findings.append(Finding("warning", one.line, warning))
        seen[one.command, one.key] = one
    return sorted(findings, key=lambda finding: (finding.line, finding.severity))


def finding_of(error: InvalidRequest) -> Finding:
    """Return the finding that ``error`` is; its line is taken out of its message."""
    place, is_placed, rest = error.message.partition("): ")
    number = place.removeprefix("(line ")
    if is_placed and place != number and number.isdecimal():
        return Finding("error", int(number), rest, error.hint)
    return Finding("error", 0, error.message, error.hint)


def _error(one: Instruction) -> Finding | None:
    try:
        meaning_of([one])
    except InvalidRequest as error:
        return finding_of(error)
    return None


def _is_single(one: Instruction) -> bool:
    """Whether it is a parameter with one value; texts may come several times."""
    spec = OPTION_SPECS.get(one.key)
    return one.command == "parameter" and spec is not None and spec.kind is not str


def _warning(one: Instruction, seen: dict[tuple[str, str], Instruction]) -> str:
    before = seen.get((one.command, one.key))
    if one.command == "parameter" and one.key in DEPRECATED:
        return f"PARAMETER {one.key} has no effect any more"
    if one.command in _CATALOGUE:
        return f"{one.command.upper()} counts in the catalogue of short names only"
    if before and (one.command in _ONCE or _is_single(one)):
        what = f"{one.command.upper()} {one.key}".rstrip()
        return f"{what} replaces that of line {before.line}"
    if one.command == "template" and "{{" not in one.value and "{%" not in one.value:
        return "TEMPLATE has no place for what is said: no {{ .Messages }} or {{ .Prompt }}"
    return ""

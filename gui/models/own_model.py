"""A Modelfile as what the daemon is asked to make of it.  Pure.

``FROM`` names a model of the library or a hub here; files come in by the library's import.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from runner.domain.name import ModelName
from runner.errors import InvalidRequest
from runner.modelfile.meaning import meaning_of
from runner.modelfile.parse import parse


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say about a Modelfile; ``line`` is 0 where it is about the whole."""

    severity: str
    line: int
    message: str
    hint: str

    def text(self) -> str:
        """Return it in a line."""
        place = f"{self.line}: " if self.line else ""
        return place + " ".join(part for part in (self.message, self.hint) if part)


@dataclass(frozen=True, slots=True)
class Checked:
    """What the daemon says of a Modelfile: findings, and the text in its usual form."""

    is_good: bool
    findings: tuple[Finding, ...]
    formatted: str


def checked(value: dict[str, Any]) -> Checked:
    """Return the answer of ``POST /api/modelfile/check``."""
    return Checked(
        is_good=bool(value["ok"]),
        findings=tuple(
            Finding(
                str(one["severity"]),
                int(one.get("line") or 0),
                str(one["message"]),
                str(one.get("hint") or ""),
            )
            for one in value.get("findings") or ()
        ),
        formatted=str(value.get("formatted") or ""),
    )


def create_body(text: str, before: str = "") -> dict[str, Any]:
    """Return the further fields of ``POST /api/create``.

    Args:
        text: The Modelfile.
        before: What it was made from by hand: parameters that are gone are to be gone from the
            model, which else would have them from its base.

    Raises:
        InvalidRequest: The text is no Modelfile, names no model, or files.
    """
    found = parse(text)
    sources = [one for one in found if one.command == "from"]
    for one in found:
        if one.command in ("adapter", "draft"):
            raise InvalidRequest(
                f"(line {one.line}): {one.command.upper()} names a file",
                hint="make such a model with: corral create -f Modelfile",
            )
    if len(sources) != 1:
        raise InvalidRequest(
            f"FROM must stand there once, and stands there {len(sources)} times",
            hint="FROM names the model to begin with",
        )
    meaning = meaning_of(found)
    told = {
        "template": meaning.template,
        "system": meaning.system,
        "license": list(meaning.licenses) or None,
        "messages": [
            {"role": turn["role"], "content": turn["content"]}
            for turn in map(asdict, meaning.messages)
        ]
        or None,
        "mirrors": list(meaning.mirrors) or None,
        "sha256": meaning.sha256 or None,
        "requires": meaning.requires or None,
    }
    body: dict[str, Any] = {"from": _name(sources[0].value, sources[0].line)}
    body["parameters"] = meaning.options.set_values()
    if gone := sorted(_parameters(before, body["from"]) - set(body["parameters"])):
        body["unset"] = gone
    return body | {name: value for name, value in told.items() if value is not None}


def _parameters(text: str, base: str) -> set[str]:
    """The parameters of a Modelfile that begins with ``base``; none of another one."""
    try:
        found = parse(text)
        names = [one.value for one in found if one.command == "from"]
        return set(meaning_of(found).options.set_values()) if names == [base] else set()
    except InvalidRequest:
        return set()


def _name(text: str, line: int) -> str:
    if text.startswith((".", "/", "~", "\\")):
        raise InvalidRequest(
            f"(line {line}): FROM names the file '{text}'",
            hint="import the file first, and name the model that it becomes",
        )
    ModelName.parse(text)
    return text

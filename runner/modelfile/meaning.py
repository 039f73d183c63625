"""What a Modelfile's instructions mean for the model to be made: the values checked and typed.

Whether FROM names a model or a file, and whether TEMPLATE is a good template, is for others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from runner.domain.chat import Message
from runner.domain.options import OPTION_SPECS, Options, literal, parse_options
from runner.errors import CorralError, InvalidRequest
from runner.modelfile.parse import Instruction, meant

#: Ollama's words for what its engine once had; they change nothing any more.
DEPRECATED = frozenset(
    {
        *("penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only"),
        *("numa", "num_gqa", "tfs_z"),
    }
)
#: What stands in for instructions that name code inside Ollama.
INSTEAD = {
    "renderer": "leave it out: the model's own chat template is used; or write a TEMPLATE",
    "parser": "leave it out: how a model calls tools and thinks is told by its template",
}
_SEMVER = re.compile(r"v?\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?")
_SHA256 = re.compile(r"(?:sha256[:-])?([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What is to be made.

    Attributes:
        bases: What FROM names, in order: a model's name, or a path.
        adapters: Paths of LoRA adapters.
        drafts: Paths or names of draft models.
        mirrors: Further places of the first base.
        sha256: Digest that the first base must have, 64 lower-case digits; or empty.
        template: ``None`` where the base's own stays.
        system: Likewise.
        licenses: Texts or names.
        options: PARAMETER, typed.
        messages: Turns that open every conversation.
        requires: The least version that may use it, of Ollama's API; or empty.
    """

    bases: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    drafts: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    sha256: str = ""
    template: str | None = None
    system: str | None = None
    licenses: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)
    messages: tuple[Message, ...] = ()
    requires: str = ""


def meaning_of(found: Iterable[Instruction]) -> Meaning:
    """Return what the instructions ``found`` ask for.

    Raises:
        InvalidRequest: One of them cannot be followed; the message has its line.
    """
    texts: dict[str, list[str]] = {}
    raw: dict[str, Any] = {}
    messages: list[Message] = []
    for one in found:
        with_line = _Line(one)
        if one.command in INSTEAD:
            raise with_line.bad(f"{one.command.upper()} is not supported", INSTEAD[one.command])
        if one.command == "message":
            messages.append(Message(one.key, one.value))
        elif one.command != "parameter":
            texts.setdefault(one.command, []).append(with_line.checked())
        elif one.key not in DEPRECATED:
            value = with_line.option()
            raw[one.key] = [*raw.get(one.key, ()), *value] if isinstance(value, list) else value
    return Meaning(
        bases=tuple(texts.get("from", ())),
        adapters=tuple(texts.get("adapter", ())),
        drafts=tuple(texts.get("draft", ())),
        mirrors=tuple(texts.get("mirror", ())),
        sha256=texts.get("sha256", [""])[-1],
        template=texts.get("template", [None])[-1],
        system=texts.get("system", [None])[-1],
        licenses=tuple(texts.get("license", ())),
        options=parse_options(raw),
        messages=tuple(messages),
        requires=texts.get("requires", [""])[-1],
    )


class _Line:
    """One instruction, and errors that name its line."""

    def __init__(self, one: Instruction) -> None:
        self._one = one

    def bad(self, reason: str, hint: str = "") -> InvalidRequest:
        return InvalidRequest(
            f"(line {self._one.line}): {reason}", hint=hint, param=self._one.command
        )

    def checked(self) -> str:
        """The value, when it has the form that its instruction wants."""
        value = self._one.value
        match self._one.command:
            case "requires" if not _SEMVER.fullmatch(value):
                raise self.bad("requires must be a valid semver (e.g. 0.14.0)")
            case "sha256":
                digest = _SHA256.fullmatch(value)
                if digest is None:
                    raise self.bad(f"SHA256 must be 64 hexadecimal digits, not '{value[:80]}'")
                return digest[1].lower()
            case _:
                return value

    def option(self) -> Any:
        """The value as ``parse_options`` takes it: a list of one text where several may come."""
        name, text = self._one.key, self._one.value
        if name not in OPTION_SPECS:
            near = meant(name, OPTION_SPECS)
            known = f"known are: {', '.join(sorted(OPTION_SPECS))}"
            raise self.bad(
                f"unknown parameter '{name}'", f"did you mean '{near}'?" if near else known
            )
        kind = OPTION_SPECS[name].kind
        value = [text] if kind is str else literal(text) if kind in (int, float, bool) else text
        try:
            parse_options({name: value})
        except CorralError as error:
            raise self.bad(f"PARAMETER {name} '{text[:80]}': {error.message}") from None
        return value

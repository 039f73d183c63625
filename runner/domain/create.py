"""What is asked for when a model of one's own is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from runner.domain.chat import Message
from runner.domain.name import ModelName
from runner.domain.options import Options


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """A model to be made; what is ``None`` stays as the base has it.

    Attributes:
        name: What it will be called; replaces what had that name.
        bases: The model it is made from, and further places of the same; none: ``files`` has it.
        sha256: Digest that the weights must have, 64 digits; empty: any.
        files: Blobs by the names that the caller has for them: the model, its projector.
        adapters: Likewise, LoRA adapters.
        drafts: Likewise, a model that guesses ahead.
        file_paths: Files of this machine, in place of blobs.
        adapter_paths: Likewise.
        draft_paths: Likewise.
        template: Its chat template.
        system: Its system message.
        license: Its licence.
        options: Laid over those of the base.
        unset: Names of options that the base has and the new model has not.
        messages: Turns that open every conversation.
        requires: The least version of the API that may use it.
        quantize: Type that its weights are written in, as ``file_types`` spells it; empty: they
            stay as they are.
    """

    name: ModelName
    bases: tuple[ModelName, ...] = ()
    sha256: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    adapters: Mapping[str, str] = field(default_factory=dict)
    drafts: Mapping[str, str] = field(default_factory=dict)
    file_paths: tuple[Path, ...] = ()
    adapter_paths: tuple[Path, ...] = ()
    draft_paths: tuple[Path, ...] = ()
    template: str | None = None
    system: str | None = None
    license: str | None = None
    options: Options = field(default_factory=Options)
    unset: tuple[str, ...] = ()
    messages: tuple[Message, ...] | None = None
    requires: str = ""
    quantize: str = ""

    @property
    def has_paths(self) -> bool:
        """Whether it names files of this machine, which is for the owner alone."""
        return bool(self.file_paths or self.adapter_paths or self.draft_paths)


@dataclass(frozen=True, slots=True)
class ModelfileFinding:
    """One thing to say about a Modelfile.

    Attributes:
        severity: ``error``: no model can be made of it; ``warning``: it may surprise.
        line: Where; 0: about the whole.
        message: What.
        hint: What to do.
    """

    severity: Literal["error", "warning"]
    line: int
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class CheckedModelfile:
    """What there is to say, in the order of lines, and the file in its usual form, or empty."""

    findings: tuple[ModelfileFinding, ...]
    formatted: str

    @property
    def is_good(self) -> bool:
        """Whether a model can be made of it, as far as its text tells."""
        return not any(finding.severity == "error" for finding in self.findings)

"""What may come into the library: files that llama.cpp can load, with a template that is harmless.

llama.cpp trusts much of what a file says, so nothing reaches it that did not pass here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runner.errors import BadModelFile
from runner.gguf.metadata import (
    ModelFacts,
    describe,
    join_shards,
    refuse_unrunnable,
    refuse_wrong_kind,
)
from runner.gguf.reader import read_header
from runner.prompt.scan import Finding, Severity, scan


def checked(path: Path) -> tuple[int, ModelFacts]:
    """Return the size and the facts of a model file that can run alone.

    Raises:
        BadModelFile: It is none, or its chat template is dangerous.
    """
    header = read_header(path)
    refuse_unrunnable(header)
    facts = describe(header)
    refuse_template(facts.template)
    return header.n_file_bytes, facts


def checked_files(files: Sequence[tuple[str, Path]]) -> ModelFacts:
    """Return the facts of a model in several files.

    Args:
        files: Kind and place of each: ``model``, then ``shard`` in order, ``projector``,
            ``adapter``.

    Raises:
        BadModelFile: One of them is not what its kind says, or cannot be loaded.
    """
    weights = [read_header(path) for kind, path in files if kind in ("model", "shard")]
    for kind, path in files:
        if kind in ("projector", "adapter"):
            refuse_wrong_kind(read_header(path), kind)
    header = join_shards(weights)
    refuse_unrunnable(header)
    facts = describe(header)
    refuse_template(facts.template)
    return facts


def refuse_template(template: str) -> None:
    """Return if no honest reason speaks against ``template``.

    Raises:
        BadModelFile: It reaches for what is none of its business, or hides text.
    """
    bad = [finding for finding in scan(template) if finding.severity is Severity.REFUSE]
    if template and bad:
        raise BadModelFile(
            f"its chat template is dangerous: {in_words(bad[0])}",
            hint="take the model from another owner, and tell this one's hub",
        )


def warnings(template: str) -> tuple[str, ...]:
    """Return what is worth a look in ``template``, in words; what is refused among them."""
    return tuple(in_words(finding) for finding in scan(template)) if template else ()


def in_words(finding: Finding) -> str:
    """Return a finding with its place: ``line 3: it counts to 99999``."""
    return f"line {finding.line}: {finding.message}" if finding.line else finding.message

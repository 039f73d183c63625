"""What is known of a model, as pairs of a name and a text; what is not known is left out.  Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from gui import figures
from gui.models.library_table import LibraryRow, abilities, files_text, last_used
from gui.words import tr
from runner.client.decode import ShownModel

#: What a record of an origin has, and its words in English.
_ORIGIN = {
    "source": "Source",
    "repository": "Repository",
    "revision": "Revision",
    "file": "File",
    "license": "Licence",
    "time": "Date",
}


def facts_of(shown: ShownModel, row: LibraryRow | None) -> Sequence[tuple[str, str]]:
    """Return what is told of a model, its line of the library being ``row``."""
    details = shown.details
    info = row.info if row is not None else details.info
    facts = (
        (tr("Architecture"), info.architecture or details.info.architecture),
        (tr("Weights"), figures.grouped(info.n_params) if info.n_params else ""),
        (tr("Quantization"), info.quantization),
        (tr("Size"), figures.size(info.n_bytes) if info.n_bytes else ""),
        (tr("Context"), _tokens(details.info.n_ctx_train or info.n_ctx_train)),
        (tr("Embedding"), figures.grouped(info.n_embd) if info.n_embd else ""),
        (tr("Abilities"), abilities(info)),
        (tr("Last used"), last_used(row) if row is not None else ""),
        (tr("Files"), _files(row)),
        (tr("Parameters"), shown.parameters.strip()),
        (tr("System prompt"), details.system),
        (tr("Opening turns"), str(len(details.messages)) if details.messages else ""),
        (tr("Origin"), "\n".join(origin(details.provenance))),
        (tr("Worth a look"), "\n".join(details.warnings)),
        (tr("Also named"), "\n".join(row.others) if row is not None else ""),
        (tr("Digest"), "\n".join(textwrap.wrap(info.digest, 32))),
    )
    return [(name, value) for name, value in facts if value]


def origin(provenance: Mapping[str, Any]) -> list[str]:
    """Return where a model came from, a line each, whatever the record holds."""
    files = provenance.get("files")
    records = [provenance, *(files if isinstance(files, list) else ())]
    lines: list[str] = []
    for record in records:
        for key, words in _ORIGIN.items():
            value = record.get(key) if isinstance(record, Mapping) else None
            line = f"{tr(words)}: {value}"
            if value and line not in lines:
                lines.append(line)
    return lines


def _files(row: LibraryRow | None) -> str:
    if row is None:
        return ""
    return f"{files_text(row)}: {row.fault}" if row.fault else files_text(row)


def _tokens(n: int) -> str:
    return tr("{n} tokens", n=figures.grouped(n)) if n else ""

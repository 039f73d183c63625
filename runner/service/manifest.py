"""The manifest of a model whose files are all at hand, looked at and described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from runner.domain.name import ModelName
from runner.hub.source import RemoteFile, Role
from runner.service.recipe import extras_of
from runner.store.arrival import PART_BYTES
from runner.store.gate import checked_files, refuse_template
from runner.store.manifests import Layer, Manifest


def manifest_of(
    name: ModelName,
    files: Sequence[RemoteFile],
    layers: Sequence[Layer],
    paths: Sequence[Path],
    parts: Mapping[str, Sequence[str]],
) -> Manifest:
    """Return what ``name`` will mean; the files are looked at first.

    Args:
        name: What it will be called.
        files: As their source described them.
        layers: The blob that each becomes.
        paths: Where each is now.
        parts: Digest of a blob → SHA-256 of each of its parts, for those that came just now.

    Raises:
        BadModelFile: One of them is no GGUF file that this program can load.
    """
    model = next(file for file in files if file.role is Role.MODEL)
    extras = extras_of(model)
    roles = [str(file.role) for file in files]
    facts = checked_files([*zip(roles, paths, strict=True)])
    refuse_template(extras.template or "")
    time = datetime.now(UTC).isoformat(timespec="seconds")
    provenance: dict[str, object] = {**model.provenance, "time": time}
    provenance["files"] = [
        {
            **file.provenance,
            "name": file.name,
            "digest": layer.digest,
            "n_bytes": layer.n_bytes,
            **(
                {"part_bytes": PART_BYTES, "parts": parts[layer.digest]}
                if parts.get(layer.digest)
                else {}
            ),
        }
        for layer, file in zip(layers, files, strict=True)
    ]
    return Manifest(
        name=name,
        layers=tuple(layers),
        facts=facts,
        parameters=extras.parameters,
        system=extras.system,
        template=extras.template,
        license=extras.license,
        provenance=provenance,
    )

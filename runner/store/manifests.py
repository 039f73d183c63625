"""What a name means: a JSON file that lists blobs, parameters, facts and provenance.

A manifest is written last and at once, so a name exists only when all that it names does.  Its
place is the name in lower case: ``manifests/<host>/<namespace>/<model>/<tag>``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from runner.domain.chat import Message
from runner.domain.name import ModelName
from runner.domain.options import Options, parse_options
from runner.errors import CorralError, StoreError
from runner.gguf.metadata import ModelFacts
from runner.store.blobs import DIGEST

#: Of the files this program writes.
FORMAT = 1
MODEL = "model"  # the kind of layer that holds the weights
ADAPTER = "adapter"  # and of those that change them: LoRA
SHARD = "shard"  # of a further file with weights, in order
_MAX_BYTES = 64 << 20  # of a file that is read as a manifest

PROJECTOR = "projector"  # of a model that sees or hears
DRAFT = "draft"  # of a model that guesses ahead

#: A port's colon cannot stand in a Windows path; ``+`` and ``=`` are in no name.
_COLON = "+"
_MARK = "="
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
)


@dataclass(frozen=True, slots=True)
class Layer:
    """One blob of a model.

    Attributes:
        kind: ``model`` for the weights, ``adapter`` for a LoRA adapter,
            ``projector`` for what sees or hears, ``draft`` for a model that guesses ahead.
        digest: ``sha256:<hex>``.
        n_bytes: Its size.
    """

    kind: str
    digest: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one name means.

    Attributes:
        name: As the user wrote it.
        layers: Its blobs; exactly one is the model.
        facts: What the model file says, so that a list needs to open no model.
        parameters: The model's own options.
        system: Its own system message.
        license: Licence text or name.
        template: A chat template in place of the file's own; ``None``: the file's.
        messages: Turns that open every conversation.
        requires: The least version of the API that may use it; or empty.
        provenance: Where it came from: ``source`` and ``time`` at least.
    """

    name: ModelName
    layers: tuple[Layer, ...]
    facts: ModelFacts
    parameters: Options = field(default_factory=Options)
    system: str = ""
    license: str = ""
    template: str | None = None
    messages: tuple[Message, ...] = ()
    requires: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> Layer:
        """The layer that holds the weights."""
        return next(layer for layer in self.layers if layer.kind == MODEL)

    @property
    def adapters(self) -> tuple[Layer, ...]:
        """The LoRA adapters, in the order that numbers them."""
        return tuple(layer for layer in self.layers if layer.kind == ADAPTER)

    @property
    def key(self) -> str:
        """What a process that can serve it is known by: names with the same weights share one."""
        return key_of(self.layers)

    @property
    def n_bytes(self) -> int:
        """Size of all its blobs."""
        return sum(layer.n_bytes for layer in self.layers)


class _Stored(msgspec.Struct, omit_defaults=True):
    """The manifest as JSON; ``format`` comes first in the file."""

    format: int
    name: str
    layers: tuple[Layer, ...]
    facts: ModelFacts
    parameters: dict[str, Any] = {}
    system: str = ""
    license: str = ""
    template: str | None = None
    messages: tuple[Message, ...] = ()
    requires: str = ""
    provenance: dict[str, Any] = {}


def key_of(layers: Iterable[Layer]) -> str:
    """Return the digests of the weights among ``layers``, and of the adapters in their order."""
    by_kind: dict[str, list[str]] = {MODEL: [], ADAPTER: []}
    for layer in layers:
        by_kind.get(layer.kind, []).append(layer.digest)
    return "+".join(by_kind[MODEL] + by_kind[ADAPTER])


def encode(manifest: Manifest) -> bytes:
    """Return the manifest's JSON, always the same for the same manifest."""
    return _encode(manifest, str(manifest.name))


def _encode(manifest: Manifest, name: str) -> bytes:
    stored = _Stored(
        format=FORMAT,
        name=name,
        layers=manifest.layers,
        facts=manifest.facts,
        parameters=manifest.parameters.set_values(),
        system=manifest.system,
        license=manifest.license,
        template=manifest.template,
        messages=manifest.messages,
        requires=manifest.requires,
        provenance=dict(manifest.provenance),
    )
    return msgspec.json.encode(stored) + b"\n"


def decode(content: bytes) -> Manifest:
    """Return the manifest that ``content`` is.

    Raises:
        StoreError: It is not JSON, of an unknown format, or lacks something.
    """
    try:
        raw = msgspec.json.decode(content)
        number = raw.get("format") if isinstance(raw, dict) else None
        if number != FORMAT:
            raise StoreError(
                f"the manifest has format {number!r}; this program knows format {FORMAT}",
                hint="a newer Corral may have written it: update Corral",
            )
        stored = msgspec.convert(raw, _Stored)
        manifest = Manifest(
            name=ModelName.parse(stored.name),
            layers=stored.layers,
            facts=stored.facts,
            parameters=parse_options(stored.parameters),
            system=stored.system,
            license=stored.license,
            template=stored.template,
            messages=stored.messages,
            requires=stored.requires,
            provenance=stored.provenance,
        )
    except StoreError:
        raise
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, CorralError) as error:
        raise StoreError(f"the manifest is damaged: {error}") from None
    if sum(layer.kind == MODEL for layer in manifest.layers) != 1:
        raise StoreError("the manifest is damaged: it does not name one model file")
    for layer in manifest.layers:
        if not DIGEST.fullmatch(layer.digest) or layer.n_bytes < 0:
            raise StoreError(f"the manifest is damaged: '{layer.digest}' names no blob")
    return manifest


def model_id(manifest: Manifest) -> str:
    """Return the digest of what a model is, whatever its name and wherefrom; 64 hex digits.

    Names of the same model share it, and it is the same after another pull: clients group models
    by it and remember what they learned under it.
    """
    return hashlib.sha256(_encode(replace(manifest, provenance={}), "")).hexdigest()


def relative_path(name: ModelName) -> Path:
    """Return where the manifest of ``name`` lies below ``manifests/``."""
    return Path(*(_escaped(part) for part in name.key))


def name_at(relative: Path) -> ModelName | None:
    """Return the name, in lower case, whose manifest lies at ``relative``; ``None`` for no name."""
    if len(relative.parts) != 4:
        return None
    parts = [part.strip(_MARK).replace(_COLON, ":") for part in relative.parts]
    try:
        name = ModelName.parse(f"{'/'.join(parts[:3])}:{parts[3]}")
    except CorralError:
        return None
    return name if relative_path(name) == relative else None


def read_bytes(path: Path) -> bytes:
    """Return the file's bytes; may raise ``OSError``.

    Raises:
        StoreError: It is too large to be a manifest.
    """
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise StoreError(f"the manifest is damaged: it has more than {_MAX_BYTES} bytes")
    return content


def _escaped(part: str) -> str:
    """Return ``part`` as a file name on every system."""
    device = _MARK if part.partition(".")[0] in _DEVICES else ""  # with any extension
    dot = _MARK if part.endswith(".") else ""  # Windows drops it
    return device + part.replace(":", _COLON) + dot

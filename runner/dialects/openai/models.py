"""``GET /v1/models`` and ``GET /v1/models/{name}``."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runner.dialects import wire
from runner.domain.model import ModelInfo


class ModelObject(msgspec.Struct):
    """One model; ``created`` in seconds since the epoch."""

    id: str
    object: str
    created: int
    owned_by: str


def models(found: Sequence[ModelInfo]) -> bytes:
    """Return the library, newest first; ``data`` is an array even when it is empty."""
    newest_first = sorted(found, key=lambda info: info.modified_at, reverse=True)
    return wire.encode({"object": "list", "data": [_model(info) for info in newest_first]})


def model(info: ModelInfo) -> bytes:
    """Return one model."""
    return wire.encode(_model(info))


def _model(info: ModelInfo) -> ModelObject:
    return ModelObject(str(info.name), "model", int(info.modified_at), info.name.namespace)

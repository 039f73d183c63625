"""What the numbers of a cache depend on beside its tokens: an entry serves equal keys.  Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Everything that could make an entry wrong for another worker.

    Attributes:
        model: Digest of the weights.
        build: llama.cpp's version and commit, and that of its bindings.
        settings: Of the context: types of keys and values, RoPE, flash attention, windows.
        adapters: Digest and scale of each adapter that is in the numbers, in order.
    """

    model: str
    build: str
    settings: Mapping[str, str | int | float] = field(default_factory=dict)
    adapters: tuple[tuple[str, float], ...] = ()

    def as_text(self) -> str:
        """Return the key as one line of JSON, the same for equal keys."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @property
    def folder_name(self) -> str:
        """The folder of its entries; begins with ``model_prefix``."""
        return model_prefix(self.model) + short_name(self.as_text())


def model_prefix(model: str) -> str:
    """Return how the folders of a model's entries begin, whatever else their keys say."""
    return f"{short_name(model)}-"


def owner_name(owner_id: str) -> str:
    """Return the name of an owner's folder; an id may hold what a file name may not."""
    return short_name(owner_id)


def short_name(text: str) -> str:
    """Return 16 hexadecimal digits that stand for ``text``."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

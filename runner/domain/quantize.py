"""What is asked for, and told beforehand, when a model is written again in smaller types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runner.domain.name import ModelName


@dataclass(frozen=True, slots=True)
class QuantizeRequest:
    """A model to be written again, once for each type.

    Attributes:
        source: The model; best one in F32, F16 or BF16.
        types: As ``file_types`` spells them.
        name: What the new model is called; ``None``: after the source and its type.
        tensors: Types for tensors whose name a pattern finds, before the type's own choice.
        imatrix: Digest of a blob, or absolute path of this machine, of an importance matrix; or
            empty.
        requantizes: Whether tensors that are quantized already may be so again.
    """

    source: ModelName
    types: tuple[str, ...]
    name: ModelName | None = None
    tensors: tuple[tuple[str, str], ...] = ()
    imatrix: str = ""
    requantizes: bool = False

    @property
    def imatrix_path(self) -> Path | None:
        """The importance matrix, where it is a file of this machine: that is for the owner."""
        is_blob = not self.imatrix or self.imatrix.startswith("sha256:")
        return None if is_blob else Path(self.imatrix)


@dataclass(frozen=True, slots=True)
class QuantizeTarget:
    """What one type would make.

    Attributes:
        file_type: Which.
        name: What it will be called.
        n_bytes: Size of the file.
        n_memory: Bytes to run it with ``n_ctx`` tokens of context: weights and cache.
        n_ctx: Those tokens.
        bits: Bits a weight takes on average.
        counts: How many tensors get each storage type.
        exists: Whether a model of that name is there, and would be replaced.
    """

    file_type: str
    name: ModelName
    n_bytes: int
    n_memory: int
    n_ctx: int
    bits: float
    counts: Mapping[str, int] = field(default_factory=dict)
    exists: bool = False


@dataclass(frozen=True, slots=True)
class QuantizePlan:
    """What ``QuantizeRequest`` would do; sizes in bytes.

    Attributes:
        source: Made from.
        quantization: What that is now.
        n_source: Size of its weights' files.
        n_free: Free on the disk.
        targets: One for each type.
        problem: Why it would fail, in words; empty when it would not.
        hint: What to do about that.
    """

    source: ModelName
    quantization: str
    n_source: int
    n_free: int
    targets: tuple[QuantizeTarget, ...]
    problem: str = ""
    hint: str = ""

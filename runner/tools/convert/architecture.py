"""What an architecture's file has to offer to ``convert``, and which files there are.

Another architecture is another file with a class of this shape and a line in ``convert.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import gguf

from runner.tools.convert.folder import Array, ModelFolder


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """One tensor to write.

    Attributes:
        source: Its name in the folder.
        target: Its name in the GGUF.
        shape: The shape it must have, as numpy counts.
        is_exact: Whether it stays float32 whatever the file type: llama.cpp wants it so.
        n_turned_heads: Heads whose rows are to be put in another order: rotary positions turn one
            half of a head against the other in the folder, and neighbours in llama.cpp; 0: none.
        n_skipped_rows: Rows before those that are written, in the folder alone.
        made: The tensor itself, where it is computed and in no file.
    """

    source: str
    target: str
    shape: tuple[int, ...]
    is_exact: bool = False
    n_turned_heads: int = 0
    n_skipped_rows: int = 0
    made: Array | None = None


class Architecture(Protocol):
    """One architecture, made from a folder; raises ``BadModelFile`` for what it cannot use."""

    def __init__(self, folder: ModelFolder) -> None:
        """Check that ``folder`` has what is needed."""
        ...

    @property
    def name(self) -> str:
        """What llama.cpp calls it: ``general.architecture``."""
        ...

    def write_metadata(self, writer: gguf.GGUFWriter) -> None:
        """Add all keys but the general ones: sizes, pooling, vocabulary."""
        ...

    def tensors(self) -> Iterator[TensorPlan]:
        """Yield what is to be written, in order."""
        ...

    def ignores(self, tensor: str) -> bool:
        """Whether a tensor of the folder that is not among these can be left out."""
        ...

"""The tensors of a model as a table: thousands of rows, of which those in sight are made.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gui import figures
from gui.models.table import Column, Table
from gui.words import tr
from runner.domain.model import ModelDetails


@dataclass(frozen=True, slots=True)
class TensorRow:
    """One tensor; ``shape`` has the contiguous dimension first, ``n_bytes`` is 0 if not told."""

    name: str
    kind: str
    shape: tuple[int, ...]
    n_bytes: int


def tensor_rows(details: ModelDetails) -> list[TensorRow]:
    """Return the tensors as the file has them."""
    return [TensorRow(*tensor) for tensor in details.tensors]


def tensor_table() -> Table[TensorRow]:
    """Return an empty table of tensors."""
    columns: tuple[Column[TensorRow], ...] = (
        Column("Name", lambda t: t.name, tip=lambda t: t.name),
        Column("Type", lambda t: t.kind),
        Column("Shape", lambda t: " x ".join(map(figures.grouped, t.shape)), lambda t: t.shape),
        Column("Size", lambda t: _size(t.n_bytes), lambda t: t.n_bytes, is_number=True),
    )
    return Table[TensorRow](columns, key=lambda tensor: tensor.name)


def summary(rows: Sequence[TensorRow]) -> str:
    """Return how many there are, and what each type takes, the largest first."""
    kinds: Counter[str] = Counter()
    for row in rows:
        kinds[row.kind] += row.n_bytes
    parts = [f"{kind} {_size(n_bytes)}".strip() for kind, n_bytes in kinds.most_common()]
    return "  ·  ".join([tr("Tensors: {n}", n=figures.grouped(len(rows))), *parts])


def _size(n_bytes: int) -> str:
    return figures.size(n_bytes) if n_bytes else ""

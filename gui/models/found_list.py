"""What a search of the hubs found: filtered, sorted, and compared with the library.

The choice of a recommended quantization is made here, from the sizes and fits that the daemon
tells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, Qt

from gui import figures
from gui.models.table import ROW_ROLE, Column, Index, Table
from gui.words import tr
from runner.domain.model import Capability
from runner.domain.name import DEFAULT_HOST, ModelName
from runner.domain.search import FoundModel, FoundQuant
from runner.errors import InvalidName

#: What to take first, as far as it fits: four to five bits lose little and are half the size of
#: eight; below four bits the loss is plain.
_PREFERRED = (
    *("Q4_K_M", "UD-Q4_K_XL", "Q4_K_L", "Q4_K_S", "IQ4_XS", "IQ4_NL", "Q4_1", "Q4_0"),
    *("MXFP4", "MXFP4_MOE", "Q5_K_M", "Q5_K_S", "Q6_K", "Q8_0"),
    *("UD-Q3_K_XL", "Q3_K_M", "Q3_K_S", "IQ3_M", "IQ3_XS", "Q2_K", "IQ2_M"),
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the results are narrowed and ordered.

    Attributes:
        fits: Only models of which some quantization fits into memory.
        is_open: Only models whose owner asks for nothing.
        license: Only this licence; empty: any.
        max_bytes: Only models with a quantization of at most this size; 0: any.
        language: Only models that speak it, a code of two letters; empty: any.
        tools: Only models that can call tools, as far as the hub tells.
        vision: Only models that can see, likewise.
        order: ``hub`` as the hubs rank them, ``likes``, ``downloads`` or ``size``.
    """

    fits: bool = False
    is_open: bool = False
    license: str = ""
    max_bytes: int = 0
    language: str = ""
    tools: bool = False
    vision: bool = False
    order: str = "hub"


def recommended(quants: Sequence[FoundQuant]) -> FoundQuant | None:
    """Return the quantization to take when in doubt; ``None`` when none is known to be good.

    What is known not to fit is never it.
    """
    by_label = {quant.label.upper(): quant for quant in quants if quant.fits is not False}
    for label in _PREFERRED:
        if label in by_label:
            return by_label[label]
    return next(iter(by_label.values()), None)


def fit(model: FoundModel) -> bool | None:
    """Return whether some quantization fits; ``None`` when that is not known."""
    known = {quant.fits for quant in model.quants}
    if True in known:
        return True
    return False if known == {False} else None


def chosen(models: Iterable[FoundModel], wishes: Wishes) -> list[FoundModel]:
    """Return the models that the wishes leave, in their order."""
    kept = [model for model in models if _is_wanted(model, wishes)]
    if wishes.order == "likes":
        kept.sort(key=lambda model: -model.n_likes)
    elif wishes.order == "downloads":
        kept.sort(key=lambda model: -model.n_downloads)
    elif wishes.order == "size":
        kept.sort(key=lambda model: _smallest(model) or math.inf)
    return kept


def licenses(models: Iterable[FoundModel]) -> list[str]:
    """Return the licences that occur, in alphabetical order."""
    return sorted({model.license for model in models if model.license}, key=str.casefold)


def spoken(models: Iterable[FoundModel]) -> list[str]:
    """Return the languages that occur, as codes, in alphabetical order."""
    return sorted({one for model in models for one in model.languages})


def here(models: Iterable[ModelName]) -> frozenset[tuple[str, str, str, str]]:
    """Return what tells which models are in the library already."""
    return frozenset(name.key for name in models)


def tags_here(model: FoundModel, library: frozenset[tuple[str, str, str, str]]) -> set[str]:
    """Return the tags of a model that are in the library, in lower case."""
    try:
        key = ModelName.parse(model.name).key
    except InvalidName:
        return set()
    return {other[3] for other in library if other[:3] == key[:3]}


def name_of(model: FoundModel, quant: FoundQuant) -> str:
    """Return the name that pulls one quantization of a model."""
    return f"{model.name}:{quant.label}"


def exact_name(text: str) -> str:
    """Return the full name when ``text`` is a hub's name or link, else an empty text."""
    if "/" not in text:
        return ""
    try:
        name = ModelName.parse(text.strip())
    except InvalidName:
        return ""
    return "" if name.host == DEFAULT_HOST else text.strip()


class FoundList(QAbstractListModel):
    """The results, one a row; ``HERE_ROLE`` says how many of its tags are in the library."""

    HERE_ROLE = ROW_ROLE + 1

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._models: list[FoundModel] = []
        self._library: frozenset[tuple[str, str, str, str]] = frozenset()

    def show(self, models: Sequence[FoundModel]) -> None:
        """Show these results."""
        if list(models) == self._models:
            return
        self.beginResetModel()
        self._models = list(models)
        self.endResetModel()

    def set_library(self, library: frozenset[tuple[str, str, str, str]]) -> None:
        """Say what is in the library, see ``here``."""
        if library != self._library:
            self._library = library
            self.refresh()

    def refresh(self) -> None:
        """Draw every row anew."""
        if self._models:
            self.dataChanged.emit(self.index(0), self.index(len(self._models) - 1))

    def tags_of(self, model: FoundModel) -> set[str]:
        """Return the tags of a model that are in the library."""
        return tags_here(model, self._library)

    def rowCount(self, parent: Index | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._models)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        model = self._models[index.row()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return model.name
            case Qt.ItemDataRole.AccessibleTextRole:
                return self._spoken(model)
            case Qt.ItemDataRole.ToolTipRole:
                return model.name
            case _ if role == ROW_ROLE:
                return model
            case _ if role == self.HERE_ROLE:
                return len(tags_here(model, self._library))
        return None

    def index_of(self, name: str) -> QModelIndex:
        """Return where a model stands; not valid when it is not shown."""
        for row, model in enumerate(self._models):
            if model.name == name:
                return self.index(row)
        return QModelIndex()

    def _spoken(self, model: FoundModel) -> str:
        parts = [model.name, model.license]
        if tags_here(model, self._library):
            parts.append(tr("In the library"))
        if model.is_gated:
            parts.append(tr("Licence to accept"))
        if fit(model) is False:
            parts.append(tr("Too large"))
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class QuantRow:
    """One quantization of the model that is looked at.

    Attributes:
        quant: As the hub has it.
        is_here: Whether it is in the library.
        is_recommended: Whether it is the one to take when in doubt.
    """

    quant: FoundQuant
    is_here: bool
    is_recommended: bool


def quant_rows(model: FoundModel, here: set[str]) -> list[QuantRow]:
    """Return the rows of a model's quantizations, smallest first."""
    best = recommended(model.quants)
    return [QuantRow(one, one.label.lower() in here, one is best) for one in model.quants]


def quant_note(row: QuantRow) -> str:
    """Return what there is to say of a quantization."""
    if row.is_here:
        return tr("In the library")
    if row.quant.fits is False:
        return tr("Too large for this memory")
    if row.is_recommended:
        return tr("Recommended")
    return tr("Fits") if row.quant.fits else ""


def quant_table() -> Table[QuantRow]:
    """Return an empty table of quantizations."""
    return Table[QuantRow](
        (
            Column("Quantization", lambda r: r.quant.label),
            Column(
                "Size",
                lambda r: figures.size(r.quant.n_bytes) if r.quant.n_bytes else "",
                lambda r: r.quant.n_bytes,
                True,
            ),
            Column("Notes", quant_note),
        ),
        key=lambda row: row.quant.label,
    )


def _is_wanted(model: FoundModel, wishes: Wishes) -> bool:
    if wishes.fits and fit(model) is not True:
        return False
    if wishes.is_open and model.is_gated:
        return False
    if wishes.license and model.license != wishes.license:
        return False
    if wishes.language and wishes.language not in model.languages:
        return False
    wanted = ((wishes.tools, Capability.TOOLS), (wishes.vision, Capability.VISION))
    if any(is_wanted and one not in model.abilities for is_wanted, one in wanted):
        return False
    smallest = _smallest(model)
    return not wishes.max_bytes or (smallest is not None and smallest <= wishes.max_bytes)


def _smallest(model: FoundModel) -> int | None:
    sizes = [quant.n_bytes for quant in model.quants if quant.n_bytes]
    return min(sizes) if sizes else None

"""The library as a table: every model, and whether it is in memory."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gui import figures
from gui.models.table import Column, Table
from gui.words import tr
from runner.client.decode_keeping import Load
from runner.domain.model import Capability, ModelInfo, RunningModel

#: Words for what a model can do; all can complete, so that is not said.
ABILITIES = {
    Capability.TOOLS: "Tools",
    Capability.VISION: "Vision",
    Capability.THINKING: "Thinking",
    Capability.EMBEDDING: "Embedding",
    Capability.INSERT: "Insert",
}


@dataclass(frozen=True, slots=True)
class LibraryRow:
    """One name in the library.

    Attributes:
        info: The library's line.
        running: Its stay in memory, if it is there.
        is_loading: Whether it is on its way into memory.
        load: How far it is there; ``None``: not known.
        others: Other names of the same files.
        fault: What is wrong with its files; empty: nothing, as far as anybody looked; ``None``:
            nobody did.
    """

    info: ModelInfo
    running: RunningModel | None = None
    is_loading: bool = False
    others: tuple[str, ...] = ()
    fault: str | None = None
    load: Load | None = None

    @property
    def name(self) -> str:
        """As people write it."""
        return str(self.info.name)

    @property
    def n_freed(self) -> int:
        """Bytes on disk that deleting this name frees."""
        return 0 if self.others else self.info.n_bytes


def library_rows(
    models: Sequence[ModelInfo],
    running: Sequence[RunningModel] = (),
    loading: Collection[str] = (),
    faults: Mapping[str, str] | None = None,
    loads: Mapping[str, Load] | None = None,
) -> list[LibraryRow]:
    """Return the library's rows.

    Args:
        models: The library.
        running: What is in memory.
        loading: Names that were asked into memory just now.
        faults: What is wrong with files, by names; ``None``: nobody looked yet.
        loads: How far models are on their way into memory, by names.
    """
    in_memory = {model.info.name.key: model for model in running}
    on_the_way = loads or {}
    names: dict[str, list[str]] = {}
    for info in models:
        names.setdefault(info.digest, []).append(str(info.name))
    return [
        LibraryRow(
            info,
            in_memory.get(info.name.key),
            (str(info.name) in loading or str(info.name) in on_the_way)
            and info.name.key not in in_memory,
            tuple(other for other in names[info.digest] if other != str(info.name))
            if info.digest
            else (),
            None if faults is None else faults.get(str(info.name), ""),
            on_the_way.get(str(info.name)),
        )
        for info in models
    ]


def standing(row: LibraryRow) -> str:
    """Return how a model stands to memory: empty when it is not there."""
    if row.is_loading:
        return f"{row.load.percent} %" if row.load and row.load.percent else tr("Loading…")
    return figures.size(row.running.n_resident) if row.running else ""


def stay(row: LibraryRow) -> str:
    """Return how long it stays in memory."""
    return figures.until(row.running.expires_at, time.time()) if row.running else ""


def last_used(row: LibraryRow) -> str:
    """Return when it was last asked something; empty while that is not known."""
    return figures.ago(row.info.used_at, time.time()) if row.info.used_at else ""


def files_text(row: LibraryRow) -> str:
    """Return whether its files are all there."""
    if row.fault is None:
        return ""
    return tr("Damaged") if row.fault else tr("Complete")


def abilities(info: ModelInfo) -> str:
    """Return what a model can do beside completing, in words."""
    return ", ".join(tr(ABILITIES[one]) for one in info.capabilities if one in ABILITIES)


def library_table() -> Table[LibraryRow]:
    """Return an empty table of the library."""
    return Table[LibraryRow](
        (
            Column("Name", lambda r: r.name, tip=lambda r: r.name),
            Column("Size", lambda r: figures.size(r.info.n_bytes), lambda r: r.info.n_bytes, True),
            Column(
                "In memory",
                standing,
                lambda r: r.running.n_resident if r.running else int(r.is_loading),
                True,
                stay,
            ),
            Column("Quantization", lambda r: r.info.quantization),
            Column("Last used", last_used, lambda r: -r.info.used_at),
            Column(
                "Files", files_text, lambda r: (not r.fault, r.name), tip=lambda r: r.fault or ""
            ),
            Column(
                "Weights",
                lambda r: figures.count(r.info.n_params) if r.info.n_params else "",
                lambda r: r.info.n_params,
                True,
            ),
            Column(
                "Context",
                lambda r: figures.grouped(r.info.n_ctx_train) if r.info.n_ctx_train else "",
                lambda r: r.info.n_ctx_train,
                True,
            ),
            Column("Architecture", lambda r: r.info.architecture),
            Column("Abilities", lambda r: abilities(r.info)),
            Column(
                "Changed",
                lambda r: figures.ago(r.info.modified_at, time.time()),
                lambda r: -r.info.modified_at,
            ),
        ),
        key=lambda row: row.info.name.key,
    )

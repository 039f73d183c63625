"""JSON of the daemon about the library on the disk, as domain objects."""

from __future__ import annotations

from runner.client.connection import Json
from runner.domain.name import ModelName
from runner.domain.storage import (
    DiskUse,
    Fault,
    Folder,
    FolderPlan,
    ModelUse,
    Pruned,
    Removable,
    Repaired,
    Verified,
)


def disk_use(value: Json) -> DiskUse:
    """``GET /api/du``."""
    return DiskUse(
        folder=str(value["folder"]),
        models=tuple(
            ModelUse(ModelName.parse(one["model"]), int(one["size"]), int(one["shared"]))
            for one in value["models"]
        ),
        n_model=int(value["total"]),
        n_unused=int(value["unused"]),
        n_partial=int(value["partial"]),
        n_quarantine=int(value["quarantine"]),
        n_free=int(value["free"]),
    )


def verified(value: Json) -> Verified:
    """The last line of ``POST /api/verify``."""
    return Verified(
        n_models=int(value["models"]),
        n_bytes=int(value["size"]),
        faults=tuple(
            Fault(
                model=str(one["model"]),
                file=str(one["file"]),
                reason=str(one["reason"]),
                hint=str(one["hint"]),
                n_bad=int(one["bad_bytes"]),
            )
            for one in value["faults"]
        ),
    )


def repaired(value: Json) -> Repaired:
    """The last line of ``POST /api/repair``."""
    return Repaired(
        model=ModelName.parse(value["model"]),
        n_files=int(value["files"]),
        n_bytes=int(value["size"]),
        n_fetched=int(value["fetched"]),
    )


def pruned(value: Json) -> Pruned:
    """``POST /api/prune``."""
    return Pruned(
        files=tuple(
            Removable(str(one["file"]), int(one["size"]), str(one["reason"]))
            for one in value["files"]
        ),
        is_dry=bool(value["dry_run"]),
        kept=str(value.get("kept") or ""),
    )


def folder(value: Json) -> Folder:
    """``GET /api/folder``."""
    return Folder(
        folder=str(value["folder"]),
        usual=str(value["usual"]),
        fixed_by=str(value["fixed_by"]),
        is_there=bool(value["there"]),
        n_bytes=int(value["disk"]),
        n_free=int(value["free"]),
    )


def folder_plan(value: Json) -> FolderPlan:
    """``POST /api/folder``, where it begins no job."""
    return FolderPlan(
        folder=str(value["folder"]),
        before=str(value["before"]),
        n_models=int(value["models"]),
        n_bytes=int(value["size"]),
        n_left=int(value["needed"]),
        n_free=int(value["free"]),
        n_there=int(value["models_there"]),
    )

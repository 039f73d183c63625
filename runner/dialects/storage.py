"""Corral's own JSON for the library on the disk.

``/api/du``, ``/api/folder``, ``/api/verify``, ``/api/repair`` and ``/api/prune``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from runner.dialects import wire
from runner.dialects.ollama import STREAM_CONTENT_TYPE, ModelBody, parse_name
from runner.dialects.ollama_models import ProgressEncoder, progress
from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.domain.storage import DiskUse, Folder, FolderPlan, Pruned, Repaired, Verified
from runner.errors import CorralError, InvalidRequest


@dataclass(frozen=True, slots=True)
class Verify:
    """A call of ``/api/verify``; no name: all models."""

    name: ModelName | None
    is_deep: bool
    stream: bool


@dataclass(frozen=True, slots=True)
class Repair:
    """A call of ``/api/repair``."""

    name: ModelName
    stream: bool


@dataclass(frozen=True, slots=True)
class ChooseFolder:
    """A call of ``POST /api/folder``; an empty folder: the usual one."""

    folder: str
    moves: bool
    is_dry: bool


class VerifyBody(msgspec.Struct):
    """``POST /api/verify``; the body may be left out."""

    model: str | None = None
    deep: bool = False
    stream: bool | None = None


class RepairBody(ModelBody):
    """``POST /api/repair``."""

    stream: bool | None = None


class PruneBody(msgspec.Struct):
    """``POST /api/prune``; the body may be left out."""

    dry_run: bool = False


class FolderBody(msgspec.Struct):
    """``POST /api/folder``; null is the usual folder, ``move`` false leaves the models behind."""

    folder: str | None
    move: bool = True
    dry_run: bool = False


_folder_body = msgspec.json.Decoder(FolderBody)
_verify_body = msgspec.json.Decoder(VerifyBody)
_repair_body = msgspec.json.Decoder(RepairBody)
_prune_body = msgspec.json.Decoder(PruneBody)


def parse_verify(body: bytes) -> Verify:
    """Return the call that a body makes.

    Raises:
        RequestError: A field is mistyped, or the name cannot be parsed.
    """
    asked = wire.decode(body, _verify_body) if body.strip() else VerifyBody()
    name = None if asked.model is None else ModelName.parse(asked.model)
    return Verify(name, asked.deep, asked.stream is not False)


def parse_repair(body: bytes) -> Repair:
    """Return the call that a body makes; raises like ``parse_verify``."""
    asked = wire.decode(body, _repair_body)
    return Repair(parse_name(asked), asked.stream is not False)


def parse_prune(body: bytes) -> bool:
    """Return whether nothing shall be removed; raises like ``parse_verify``."""
    return (wire.decode(body, _prune_body) if body.strip() else PruneBody()).dry_run


def parse_folder(body: bytes) -> ChooseFolder:
    """Return the call that a body makes; raises like ``parse_verify``."""
    asked = wire.decode(body, _folder_body)
    if asked.folder is not None and not asked.folder.strip():
        raise InvalidRequest(
            "folder is empty", hint="name one, or null for the usual one", param="folder"
        )
    return ChooseFolder((asked.folder or "").strip(), asked.move, asked.dry_run)


class MomentEncoder:
    """Lines of ``/api/verify`` and ``/api/repair``: as of a pull, and the last with the result."""

    content_type = STREAM_CONTENT_TYPE
    ping = b""  # moments come often

    def __init__(self) -> None:
        self._errors = ProgressEncoder()

    def encode(self, moment: Progress | Verified | Repaired) -> bytes:
        """Return one line."""
        return (progress(moment) if isinstance(moment, Progress) else result(moment)) + b"\n"

    def error(self, error: CorralError) -> bytes:
        """Return the line that ends a stream which failed."""
        return self._errors.error(error)


def result(found: Verified | Repaired) -> bytes:
    """Return the last line; it has ``"status": "success"`` when all was done, good or bad."""
    return wire.encode({"status": "success", **_result(found)})


def _result(found: Verified | Repaired) -> dict[str, Any]:
    if isinstance(found, Repaired):
        return {
            "model": str(found.model),
            "files": found.n_files,
            "size": found.n_bytes,
            "fetched": found.n_fetched,
        }
    faults = [
        {
            "model": fault.model,
            "file": fault.file,
            "reason": fault.reason,
            "hint": fault.hint,
            "bad_bytes": fault.n_bad,
        }
        for fault in found.faults
    ]
    return {"models": found.n_models, "size": found.n_bytes, "faults": faults}


def disk_use(use: DiskUse) -> bytes:
    """Return what ``GET /api/du`` answers; all in bytes."""
    return wire.encode(
        {
            "folder": use.folder,
            "models": [
                {"model": str(one.name), "size": one.n_bytes, "shared": one.n_shared}
                for one in use.models
            ],
            "total": use.n_model,
            "unused": use.n_unused,
            "partial": use.n_partial,
            "quarantine": use.n_quarantine,
            "free": use.n_free,
        }
    )


def folder(found: Folder) -> bytes:
    """Return what ``GET /api/folder`` answers; all in bytes."""
    return wire.encode(
        {
            "folder": found.folder,
            "usual": found.usual,
            "fixed_by": found.fixed_by,
            "there": found.is_there,
            "disk": found.n_bytes,
            "free": found.n_free,
        }
    )


def folder_plan(plan: FolderPlan, *, is_dry: bool) -> bytes:
    """Return what ``POST /api/folder`` answers where it begins no job."""
    return wire.encode(
        {
            "dry_run": is_dry,
            "folder": plan.folder,
            "before": plan.before,
            "models": plan.n_models,
            "size": plan.n_bytes,
            "needed": plan.n_left,
            "free": plan.n_free,
            "models_there": plan.n_there,
            "ok": plan.fits,
        }
    )


def pruned(told: Pruned) -> bytes:
    """Return what ``POST /api/prune`` answers."""
    return wire.encode(
        {
            "dry_run": told.is_dry,
            "size": told.n_bytes,
            "files": [
                {"file": file.path, "size": file.n_bytes, "reason": file.reason}
                for file in told.files
            ],
            "kept": told.kept,
        }
    )

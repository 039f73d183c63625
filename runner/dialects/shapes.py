"""The forms of answers in Ollama's API and in our own, for ``/openapi.json``.

Those that are no types where they are written; the tests hold every answer to them.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runner.dialects.jobs import JobAnswer
from runner.dialects.keeping import KeyRow, SettingRow
from runner.dialects.ollama_models import Running, Tag
from runner.dialects.ollama_turns import ReplyMessage
from runner.dialects.openai.shapes import Vector
from runner.dialects.requests import RequestBody


class HealthShape(msgspec.Struct):
    """``GET /health``."""

    status: Literal["ok"]
    version: str


class VersionShape(msgspec.Struct):
    """``GET /api/version``: the level of Ollama's API that is kept to, and our own version."""

    version: str
    corral: str


class CloudShape(msgspec.Struct):
    """Models that run on others' machines: always switched off here."""

    disabled: bool
    source: Literal["none", "env", "config", "both"]


class StatusShape(msgspec.Struct):
    """``GET /api/status``."""

    cloud: CloudShape


class TagsShape(msgspec.Struct):
    """``GET /api/tags``, newest first."""

    models: list[Tag]


class RunningShape(msgspec.Struct):
    """``GET /api/ps``, the one that stays longest first; ``loads`` are under way, if there are."""

    models: list[Running]
    loads: list[LoadShape] | msgspec.UnsetType = msgspec.UNSET


class LineShape(msgspec.Struct, omit_defaults=True):
    """One line of a stream of ``/api/generate`` or ``/api/chat``; the last has ``done``."""

    model: str
    created_at: str
    done: bool
    response: str | msgspec.UnsetType = msgspec.UNSET
    message: ReplyMessage | msgspec.UnsetType = msgspec.UNSET
    thinking: str | msgspec.UnsetType = msgspec.UNSET


class LoadShape(msgspec.Struct):
    """One line of ``/api/load``; ``status`` is the stage, and ``success`` in the last one."""

    model: str
    status: str
    percent: int


class LoadedShape(LoadShape):
    """The end of ``/api/load``; ``note`` says in what it differs from what was asked."""

    context_length: int
    load_seconds: float
    size: int
    pinned: bool
    note: str


class EstimateDeviceShape(msgspec.Struct, kw_only=True):
    """What would go to an accelerator: layers, and in bytes what they need there and is free."""

    name: str
    layers: int
    needed: int
    free: int


class EstimateShape(msgspec.Struct, kw_only=True):
    """``POST /api/estimate``: bytes, and contexts in tokens.

    ``needed`` and ``free`` are of main memory; of ``layers``, the output counted as one, those on
    ``devices`` are not in it.  ``note``: why less is there than was wanted.
    ``context_length_asked`` is there where the context had to be cut.
    """

    fits: bool
    needed: int
    free: int
    context_length: int
    cache_length: int
    weights: int
    kv_cache: int
    compute: int
    output: int
    projector: int
    draft: int
    accelerator: int
    advice: list[str]
    layers: int
    devices: list[EstimateDeviceShape]
    note: str
    context_length_asked: int | msgspec.UnsetType = msgspec.UNSET


class UnloadedShape(msgspec.Struct):
    """``POST /api/unload``: whether it was there."""

    unloaded: bool


class EmbedShape(msgspec.Struct, omit_defaults=True, kw_only=True):
    """``POST /api/embed``; durations in nanoseconds."""

    model: str
    embeddings: list[Vector]
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    truncated: list[int] = []


class EmbeddingShape(msgspec.Struct):
    """``POST /api/embeddings``."""

    embedding: list[float]


class RequestsShape(msgspec.Struct):
    """``GET /api/requests``: those that run first."""

    requests: list[RequestBody]


class CancelledShape(msgspec.Struct):
    """``DELETE /api/requests/{id}``."""

    cancelled: str


class JobsShape(msgspec.Struct):
    """``GET /api/jobs``."""

    jobs: list[JobAnswer]


class KeysShape(msgspec.Struct):
    """``GET /api/keys``; never a secret."""

    keys: list[KeyRow]


class NewKeyShape(KeyRow):
    """``POST /api/keys``: ``key`` is the secret, told this once."""

    key: str


class RevokedShape(msgspec.Struct):
    """``DELETE /api/keys/{id}``."""

    revoked: str


class SettingsShape(msgspec.Struct):
    """``GET /api/settings``; of secrets only whether they are set, and where they are kept."""

    settings: list[SettingRow]
    secrets: dict[str, bool]
    secret_places: dict[str, str]


class SecretShape(msgspec.Struct):
    """``PUT /api/secrets/{name}``."""

    name: str
    set: bool


class DeviceShape(msgspec.Struct):
    """Something that computes; memory in bytes.

    ``id`` is its name in the setting ``devices``; ``used``: models are put there; ``order``: which
    is filled first, from 1 (0: none is; a processor takes what is left); ``note``: what is amiss.
    """

    id: str
    kind: str
    name: str
    memory: int
    memory_available: int
    used: bool
    order: int
    note: str


class UnusedCardShape(msgspec.Struct):
    """A graphics card that the engine was not built for, and the command that does it."""

    vendor: str
    needs: str
    command: str


class MachineShape(msgspec.Struct):
    """``GET /api/machine``; memory in bytes."""

    cores: int
    memory: int
    memory_available: int
    daemon_memory: int
    devices: list[DeviceShape]
    limits: dict[str, int]
    model_loads: int
    model_evictions: int
    unused_cards: list[UnusedCardShape]


class CachedShape(msgspec.Struct):
    """One kept prompt; never its text."""

    model: str
    digest: str
    owner: str
    tier: Literal["memory", "disk"]
    tokens: int
    size: int
    created_at: str
    last_used_at: str


class CacheShape(msgspec.Struct):
    """``GET /api/cache``."""

    prompts: list[CachedShape]
    tiers: dict[str, dict[str, int]]


class ClearedShape(msgspec.Struct):
    """``DELETE /api/cache``."""

    prompts: int
    size: int


class ModelUseShape(msgspec.Struct):
    """What one model takes, in bytes; ``shared``: of it, with other models."""

    model: str
    size: int
    shared: int


class DiskUseShape(msgspec.Struct):
    """``GET /api/du``, in bytes; ``folder`` is told to the owner alone."""

    folder: str
    models: list[ModelUseShape]
    total: int
    unused: int
    partial: int
    quarantine: int
    free: int


class MomentShape(msgspec.Struct):
    """One line of ``/api/verify`` or ``/api/repair``; the last has what was found or done."""

    status: str


class VerifiedShape(msgspec.Struct):
    """The end of ``/api/verify``."""

    status: Literal["success"]
    models: int
    size: int
    faults: list[dict[str, Any]]


class RepairedShape(msgspec.Struct):
    """The end of ``/api/repair``."""

    status: Literal["success"]
    model: str
    files: int
    size: int
    fetched: int


class FolderShape(msgspec.Struct):
    """``GET /api/folder``: where the models are; ``disk`` and ``free`` are bytes of its disk.

    ``usual``: where they are unless another folder is chosen.  ``fixed_by``: the variable of the
    environment that says where, or empty.  ``there`` is false when the disk has gone.
    """

    folder: str
    usual: str
    fixed_by: str
    there: bool
    disk: int
    free: int


class FolderPlanShape(msgspec.Struct):
    """``POST /api/folder`` with ``dry_run``, or with ``move`` false: bytes.

    ``needed`` are still to be written there; ``ok``: they fit.
    """

    dry_run: bool
    folder: str
    before: str
    models: int
    size: int
    needed: int
    free: int
    models_there: int
    ok: bool


class PrunedFileShape(msgspec.Struct):
    """One file that nothing needs."""

    file: str
    size: int
    reason: str


class PrunedShape(msgspec.Struct):
    """``POST /api/prune``."""

    dry_run: bool
    size: int
    files: list[PrunedFileShape]
    kept: str


class EndingShape(msgspec.Struct):
    """``POST /api/shutdown``."""

    status: Literal["shutting down"]

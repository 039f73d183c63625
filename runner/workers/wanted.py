"""What the pool is asked for, what it tells, and the first message to a worker.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from msgspec.structs import replace

from runner.domain.model import ModelInfo
from runner.domain.placement import Outline
from runner.protocol.messages import Load
from runner.workers.process import Worker, new_request_id

#: Fields of ``Load`` that people set, by the names of their options.
LOAD_FIELDS = {
    "num_batch": "n_batch",
    "num_thread": "n_threads",
    "num_gpu": "n_gpu_layers",
    "devices": "devices",
    "use_mmap": "use_mmap",
    "use_mlock": "use_mlock",
    "main_gpu": "main_gpu",
    "tensor_split": "tensor_split",
    "num_cpu_moe": "n_cpu_moe",
    "cache_type_k": "kv_type_k",
    "cache_type_v": "kv_type_v",
    "flash_attention": "flash_attention",
    "num_parallel": "n_seq_max",
    "rope_scaling": "rope_scaling",
    "rope_frequency_base": "rope_base",
    "rope_frequency_scale": "rope_scale",
    "yarn_orig_ctx": "yarn_orig_ctx",
}
_OPTIONS = {field: option for option, field in LOAD_FIELDS.items()}
#: What of the rest may differ, in words: its values are paths of this machine, for nobody to see.
_FILES = {"draft_path": "another draft model, or none", "projector_path": "another projector"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model to be resident, and how.

    Attributes:
        info: The model; its blobs' ``key`` says which process can serve it.
        key: The digest of its weights: names with the same weights share a worker.
        path: The GGUF file.
        n_ctx: Context of one sequence when it has to be loaded, in tokens.
        n_cells: Cells of the whole cache, when it has to be loaded.
        adapters: GGUF files of its LoRA adapters; ``key`` has their digests, too.
        fixed: Load settings that the request insists on, by ``Load``'s field names.
        shards: As in ``Load``.
        n_least: Tokens that one sequence must be able to have; 0: ``n_ctx``.
        n_bytes: Main memory it needs when it has to be loaded; 0: unknown.
        outline: Its size, to place its layers by; ``None``: unknown.
        is_pinned: Whether it stays until it is told to go.
        note: In what its load differs from what was asked; may be empty.
        stay_s: Seconds that it stays idle where no request has said so; ``None``: as the pool has
            it.
    """

    info: ModelInfo
    key: str
    path: str
    n_ctx: int
    n_cells: int
    fixed: tuple[tuple[str, object], ...] = ()
    adapters: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()
    n_least: int = 0
    n_bytes: int = 0
    outline: Outline | None = None
    is_pinned: bool = False
    note: str = ""
    stay_s: float | None = None

    def lacks(self, load: Load) -> dict[str, object]:
        """Return what it insists on and a load has not, by the names of ``Load``'s fields.

        A larger batch serves a smaller one; threads are told to a worker that runs.
        """
        return {
            name: value
            for name, value in self.fixed
            if name != "n_threads"
            and (load.n_batch < self.n_batch if name == "n_batch" else getattr(load, name) != value)
        }

    @property
    def n_layers(self) -> int:
        """Its layers, the output counting as one; 0: unknown."""
        return self.outline.n_blocks + 1 if self.outline else 0

    @property
    def n_ctx_least(self) -> int:
        """Tokens that one sequence must be able to have."""
        return self.n_least or self.n_ctx

    @property
    def n_batch(self) -> int:
        """Tokens a step that it insists on; 0: any."""
        return int(cast(int, dict(self.fixed).get("n_batch", 0)))

    @property
    def n_threads(self) -> int:
        """Threads that it is to be computed with; 0: as many as there are for it."""
        return int(cast(int, dict(self.fixed).get("n_threads", 0)))


def named(lacking: Mapping[str, object]) -> str:
    """Return settings as people write them, ``num_gpu=0, cache_type_k=q8_0``; no paths."""
    return ", ".join(
        f"{_OPTIONS[name]}={value}" if name in _OPTIONS else _FILES.get(name, name)
        for name, value in lacking.items()
    )


@dataclass(frozen=True, slots=True)
class Resident:
    """A loaded model, for listing; ``expires_at`` in seconds since the epoch or ``math.inf``.

    ``key`` is ``Wanted.key``, ``n_bytes`` what it was said to need, ``load_s`` how long its load
    took, ``notes`` in what it differs from what was asked.
    """

    info: ModelInfo
    worker: Worker
    n_active: int
    expires_at: float
    key: str
    n_bytes: int = 0
    load_s: float = 0.0
    is_pinned: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Limits and defaults.

    Attributes:
        command: Command line of a worker process.
        keep_alive_s: Seconds a model stays after its last lease; ``math.inf`` for ever.
        max_resident: Models in memory at once.
        max_queue: Requests waiting for one model beyond those it can run.
        n_seq_max: Sequences one worker runs at once.
        n_threads: Threads of one worker.
        load_timeout_s: Seconds a load may take.
        n_host_bytes: Memory of one worker for prompts that left its cache, and as much again for
            answers that gave way to others.
        kv_types: Types of the cache's keys and values, as ggml names them.
        flash_attention: ``None``: where it works.
        disk_folder: Where workers keep prompts on disk; empty: nowhere.
        n_disk_bytes: What that folder may hold.
        devices: As in ``Load``.
        n_memory_max: Main memory that all models together may need; 0: no limit but what is free.
        has_accelerator: Whether layers can be elsewhere than in main memory.
        patience_s: Seconds that a request waits for room before a model that answers without a
            pause is to make some: it takes no new requests, and goes when it has answered.
    """

    command: list[str]
    keep_alive_s: float
    max_resident: int
    max_queue: int
    n_seq_max: int
    n_threads: int
    load_timeout_s: float
    n_host_bytes: int = 0
    kv_types: tuple[str, str] = ("f16", "f16")
    flash_attention: bool | None = None
    disk_folder: str = ""
    n_disk_bytes: int = 0
    devices: tuple[str, ...] = ()
    n_memory_max: int = 0
    has_accelerator: bool = False
    patience_s: float = 5.0


def load_for(
    wanted: Wanted, alike: Sequence[Wanted], settings: PoolSettings, before: Load | None = None
) -> Load:
    """Return the load that serves ``wanted`` and as many as can be of those ``alike``.

    Its context and its batch are the largest that anyone of them would have, or ``before`` had,
    whose place it takes: who was served by that shall not have to load the model again.
    """
    everyone = (wanted, *alike)
    n_ctx = max(*(other.n_ctx for other in everyone), before.n_ctx if before else 0)
    n_cells = max(*(other.n_cells for other in everyone), before.n_cells if before else 0)
    n_batch = max(*(other.n_batch for other in everyone), before.n_batch if before else 0)
    load = Load(
        request_id=new_request_id(),
        path=wanted.path,
        shards=wanted.shards,
        n_ctx=n_ctx,
        n_cells=max(n_ctx, n_cells),
        n_seq_max=settings.n_seq_max,
        n_threads=settings.n_threads,
        n_host_bytes=settings.n_host_bytes,
        kv_type_k=settings.kv_types[0],
        kv_type_v=settings.kv_types[1],
        flash_attention=settings.flash_attention,
        digest=wanted.key,
        disk_folder=settings.disk_folder,
        n_disk_bytes=settings.n_disk_bytes,
        adapters=wanted.adapters,
        devices=settings.devices,
        outline=wanted.outline,
    )
    insisted = dict(wanted.fixed) | ({"n_batch": n_batch} if n_batch else {})
    return replace(load, **insisted)

"""The messages of a load: what is to be loaded and how, how far that is, and what came of it.

Part of ``messages``, from where everybody has them.
"""

from __future__ import annotations

from msgspec import Struct

from runner.domain.loading import LoadStage
from runner.domain.placement import Outline


class Remote(Struct, frozen=True):
    """A device of another machine: ``host:port`` of its ``corral share``, and its key."""

    address: str
    key: str


class Load(Struct, frozen=True, tag=True):
    """Load a model; the first message, sent once.

    Attributes:
        request_id: Comes back in ``Loaded`` or ``Failed``.
        path: GGUF file.
        n_ctx: Context of one sequence, in tokens; the model's training length caps it.
        n_cells: Cache cells over all sequences, in tokens.
        n_seq_max: Sequences running at once.
        n_batch: Tokens a step.
        n_threads: 0: one for each core.
        n_gpu_layers: -1: all.
        use_mmap: Map the file instead of reading it.
        n_host_bytes: Memory for the states of prompts that left the cache, and as much again for
            those of sequences that gave way to others.
        kv_type_k: Type of the cache's keys, as ggml names it.
        kv_type_v: Type of its values; a quantized one needs flash attention.
        flash_attention: ``None``: where it works.
        digest: Of the weights and adapters; what is kept on disk is kept under it.
        disk_folder: Where prompts are kept on disk; empty: nowhere.
        n_disk_bytes: What that folder may hold, all models together; 0: nothing is kept.
        generates: Whether it shall answer; a model that only embeds needs no cache for that.
        adapters: GGUF files of LoRA adapters, numbered from 0.
        shards: All files of the weights in their order, ``path`` first, when they are several.
        draft_path: GGUF file of a small model that guesses what this one says; empty: none.
        projector_path: GGUF file of the model's eyes; empty: it has none.
        use_mlock: Keep the weights in memory, whatever else wants it.
        main_gpu: The accelerator that holds what is not split.
        tensor_split: Shares of the accelerators, in their order; empty: by their free memory.
        n_cpu_moe: First layers whose experts stay in main memory; negative: all.
        rope_scaling: How positions beyond the trained ones are made; empty: as the file says.
        rope_base: 0: as the file says.
        rope_scale: 0: as the file says; 0.5 doubles the context.
        yarn_orig_ctx: Context that yarn extends, in tokens; 0: the trained one.
        devices: Which accelerators to use, in this order; see ``domain.device_order``.
        remotes: Those of other machines.
        lost: Devices that are left out because they were lost, for the record.
        outline: The model's size, to place its layers by; ``None``: not known.
    """

    request_id: str
    path: str
    n_ctx: int
    n_cells: int
    n_seq_max: int
    n_batch: int = 512
    n_threads: int = 0
    n_gpu_layers: int = -1
    use_mmap: bool = True
    n_host_bytes: int = 0
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    flash_attention: bool | None = None
    digest: str = ""
    disk_folder: str = ""
    n_disk_bytes: int = 0
    generates: bool = True
    adapters: tuple[str, ...] = ()
    shards: tuple[str, ...] = ()
    draft_path: str = ""
    projector_path: str = ""
    use_mlock: bool = False
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    n_cpu_moe: int = 0
    rope_scaling: str = ""
    rope_base: float = 0.0
    rope_scale: float = 0.0
    yarn_orig_ctx: int = 0
    devices: tuple[str, ...] = ()
    remotes: tuple[Remote, ...] = ()
    lost: tuple[str, ...] = ()
    outline: Outline | None = None


class Loading(Struct, frozen=True, tag=True):
    """How far a load is; comes before ``Loaded``, with ``share`` of the stage from 0 to 1."""

    request_id: str
    stage: LoadStage
    share: float = 0.0


class Placed(Struct, frozen=True, array_like=True):
    """Layers on an accelerator, and the bytes of its memory that this model took."""

    device: str
    n_layers: int
    n_bytes: int


class Loaded(Struct, frozen=True, tag=True):
    """The model is resident; contexts in tokens.

    ``can_infill``: it has the tokens for filling in the middle.  ``placed``: what is not in main
    memory; ``note``: why less is there than was wanted, in words; empty: it is as it should be.
    """

    request_id: str
    n_ctx: int
    n_cells: int
    n_threads: int
    can_infill: bool = False
    placed: tuple[Placed, ...] = ()
    note: str = ""

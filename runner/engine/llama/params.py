"""How a model is to be loaded, and llama.cpp's own structures that say so."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner.engine.llama.binding import libggml, llama_cpp
from runner.protocol.messages import Load

#: ``enum llama_load_mode`` in ``llama.h``, by whether weights are mapped and whether they stay.
_LOAD_MODES = {
    (False, False): llama_cpp.LLAMA_LOAD_MODE_NONE,
    (True, False): llama_cpp.LLAMA_LOAD_MODE_MMAP,
    (False, True): llama_cpp.LLAMA_LOAD_MODE_MLOCK,
    (True, True): llama_cpp.LLAMA_LOAD_MODE_MMAP_MLOCK,
}
#: ``enum llama_rope_scaling_type`` in ``llama.h``.
_ROPE_SCALINGS = {"": -1, "none": 0, "linear": 1, "yarn": 2, "longrope": 3}
#: Tensors that hold a layer's experts, as llama.cpp's own tools name them (``common/common.h``).
_EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"


@dataclass(frozen=True, slots=True)
class ModelParams:
    """How to load.

    Attributes:
        n_gpu_layers: Layers on accelerators; -1: all.
        use_mmap: Whether to map the file.
        shards: All files, if there are several.
        devices: Handles of the accelerators to use and how many layers go to each, which is what
            counts then; ``None``: llama.cpp chooses.
        use_mlock: Whether the weights are kept in memory by force.
        main_gpu: The accelerator for what is not split.
        tensor_split: Shares of the accelerators; empty: llama.cpp's choice.
        n_cpu_moe: First layers whose experts stay in main memory; negative: all.
        on_progress: Called with the share of the weights that are there, on the loading thread.
    """

    n_gpu_layers: int = -1
    use_mmap: bool = True
    shards: tuple[str, ...] = ()
    devices: tuple[tuple[int, int], ...] | None = None
    use_mlock: bool = False
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    n_cpu_moe: int = 0
    on_progress: Callable[[float], None] = lambda share: None


@dataclass(frozen=True, slots=True)
class RopeParams:
    """How positions are turned; 0 and the empty word: as the model's file says."""

    scaling: str = ""
    base: float = 0.0
    scale: float = 0.0
    yarn_orig_ctx: int = 0

    def n_ctx_max(self, n_ctx_train: int) -> int:
        """Return the longest context that makes sense, given the trained one."""
        return int(n_ctx_train / self.scale) if 0 < self.scale < 1 else n_ctx_train


def params_of(
    load: Load,
    devices: tuple[tuple[int, int], ...] | None,
    on_progress: Callable[[float], None],
) -> ModelParams:
    """Return what a load says of the model itself."""
    return ModelParams(
        n_gpu_layers=load.n_gpu_layers,
        use_mmap=load.use_mmap,
        shards=load.shards,
        devices=devices,
        use_mlock=load.use_mlock,
        main_gpu=load.main_gpu,
        tensor_split=load.tensor_split,
        n_cpu_moe=load.n_cpu_moe,
        on_progress=on_progress,
    )


def rope_of(load: Load) -> RopeParams:
    """Return what a load says of positions."""
    return RopeParams(load.rope_scaling, load.rope_base, load.rope_scale, load.yarn_orig_ctx)


def c_model_params(params: ModelParams) -> Any:
    """Return the structure; it holds on to all that it points at."""
    made = llama_cpp.llama_model_default_params()
    made.n_gpu_layers = params.n_gpu_layers
    made.load_mode = _LOAD_MODES[params.use_mmap, params.use_mlock]
    made.main_gpu = params.main_gpu

    def report(share: float, _data: ctypes.c_void_p) -> bool:
        params.on_progress(share)
        return True  # a load is broken off by the end of its process, which waits for nothing

    made.progress_callback = llama_cpp.llama_progress_callback(report)
    if params.devices is not None:
        _place(made, params.devices)
    elif params.tensor_split:
        n_most = int(llama_cpp.llama_max_devices())
        made.tensor_split = (ctypes.c_float * n_most)(*params.tensor_split[:n_most])
    if params.n_cpu_moe:
        made._experts = _on_cpu(params.n_cpu_moe)  # ctypes keeps no hold of what a void * means
        made.tensor_buft_overrides = ctypes.addressof(made._experts)
    return made


def _place(c_params: Any, devices: tuple[tuple[int, int], ...]) -> None:
    """Say which devices get how many layers; the arrays live as long as the parameters do."""
    # NULL ends the list; a list with nothing else means the processor alone.
    handles = (ctypes.c_void_p * (len(devices) + 1))(*(handle for handle, _ in devices), None)
    split = (ctypes.c_float * llama_cpp.llama_max_devices())(*(n for _, n in devices))
    c_params.devices = ctypes.cast(handles, ctypes.c_void_p)
    c_params.tensor_split = ctypes.cast(split, type(c_params.tensor_split))
    c_params.n_gpu_layers = sum(n for _, n in devices)
    c_params._arrays = (handles, split)


def use_rope(c_params: Any, rope: RopeParams) -> None:
    """Write into a context's structure how positions are turned."""
    c_params.rope_scaling_type = _ROPE_SCALINGS[rope.scaling]
    c_params.rope_freq_base = rope.base
    c_params.rope_freq_scale = rope.scale
    c_params.yarn_orig_ctx = rope.yarn_orig_ctx


class _Override(ctypes.Structure):
    """``struct llama_model_tensor_buft_override``: tensors by a pattern, and where they go."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


def _on_cpu(n_layers: int) -> Any:
    """A list, ended by an empty one, that keeps experts of the first layers in main memory."""
    ggml: Any = libggml
    ggml.ggml_backend_cpu_buffer_type.restype = ctypes.c_void_p
    where = ggml.ggml_backend_cpu_buffer_type()
    blocks = [r"blk\.\d+"] if n_layers < 0 else [rf"blk\.{layer}" for layer in range(n_layers)]
    patterns = [(block + _EXPERTS).encode() for block in blocks]
    n_most = int(llama_cpp.llama_max_tensor_buft_overrides())
    overrides = [_Override(pattern, where) for pattern in patterns[: n_most - 1]]
    return (_Override * (len(overrides) + 1))(*overrides, _Override(None, None))

"""What llama.cpp can compute on, as it says itself.

Source of the functions and of the kinds: ``ggml/include/ggml-backend.h``.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import llama_cpp
from llama_cpp import _ggml

from runner.engine.llama.library import load_backends

#: ``enum ggml_backend_dev_type``.
_KINDS = ("cpu", "gpu", "igpu", "accelerator", "group")


@dataclass(frozen=True, slots=True)
class Device:
    """One device of this build on this machine.

    Attributes:
        name: ``CPU``, ``CUDA0``, ``Vulkan0``.
        description: What its driver calls it.
        kind: ``cpu``, ``gpu``, ``igpu`` (shares main memory), ``accelerator`` or ``other``.
        n_free: Bytes of its memory that are free now.
        n_total: Bytes of its memory.
    """

    name: str
    description: str
    kind: str
    n_free: int
    n_total: int


def list_devices() -> list[Device]:
    """Return all devices, in llama.cpp's order.  Loads drivers: for short-lived processes."""
    n_devices = load_backends()
    llama_cpp.llama_backend_init()
    ggml: Any = _ggml.libggml
    ggml.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    ggml.ggml_backend_dev_get.restype = ctypes.c_void_p
    for function in (ggml.ggml_backend_dev_name, ggml.ggml_backend_dev_description):
        function.argtypes = [ctypes.c_void_p]
        function.restype = ctypes.c_char_p
    ggml.ggml_backend_dev_type.argtypes = [ctypes.c_void_p]
    ggml.ggml_backend_dev_type.restype = ctypes.c_int
    size = ctypes.POINTER(ctypes.c_size_t)
    ggml.ggml_backend_dev_memory.argtypes = [ctypes.c_void_p, size, size]
    ggml.ggml_backend_dev_memory.restype = None
    return [_device(ggml, number) for number in range(n_devices)]


def _device(ggml: Any, number: int) -> Device:
    handle = ggml.ggml_backend_dev_get(number)
    n_free, n_total = ctypes.c_size_t(), ctypes.c_size_t()
    ggml.ggml_backend_dev_memory(handle, ctypes.byref(n_free), ctypes.byref(n_total))
    kind = ggml.ggml_backend_dev_type(handle)
    return Device(
        name=(ggml.ggml_backend_dev_name(handle) or b"").decode("utf-8", "replace"),
        description=(ggml.ggml_backend_dev_description(handle) or b"").decode("utf-8", "replace"),
        kind=_KINDS[kind] if 0 <= kind < len(_KINDS) else "other",
        n_free=n_free.value,
        n_total=n_total.value,
    )


def build() -> str:
    """Return which llama.cpp this is, and what it was built for."""
    load_backends()
    features = llama_cpp.llama_print_system_info().decode("utf-8", "replace")
    return f"llama-cpp-python {llama_cpp.__version__}; {' '.join(features.split()).rstrip('| ')}"

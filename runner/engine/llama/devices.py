"""What llama.cpp can compute on, as it says itself.

Source of the functions and of the kinds: ``ggml/include/ggml-backend.h``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.engine.llama.binding import libggml, llama_cpp
from runner.engine.llama.library import load_backends

#: ``enum ggml_backend_dev_type``.
_KINDS = ("cpu", "gpu", "igpu", "accelerator", "group")


class _Props(ctypes.Structure):
    """``struct ggml_backend_dev_props``; what follows these fields is left alone."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("room", ctypes.c_uint8 * 64),
    )


@dataclass(frozen=True, slots=True)
class Device:
    """One device of this build on this machine.

    Attributes:
        name: ``CPU``, ``CUDA0``, ``Vulkan0``.
        description: What its driver calls it.
        kind: ``cpu``, ``gpu``, ``igpu`` (shares main memory), ``accelerator`` or ``other``.
        n_free: Bytes of its memory that are free now.
        n_total: Bytes of its memory.
        handle: What llama.cpp knows it by, in this process.
        hardware_id: The same for one card that two drivers show; empty: not known.
    """

    name: str
    description: str
    kind: str
    n_free: int
    n_total: int
    handle: int
    hardware_id: str = ""

    def told(self) -> Mapping[str, str | int]:
        """Return what means something in another process, too."""
        return {
            "name": self.name,
            "description": self.description,
            "kind": self.kind,
            "n_free": self.n_free,
            "n_total": self.n_total,
            "hardware_id": self.hardware_id,
        }


def list_devices() -> list[Device]:
    """Return all devices, in llama.cpp's order.  Loads drivers: for short-lived processes."""
    n_devices = load_backends()
    llama_cpp.llama_backend_init()
    ggml: Any = libggml
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
    ggml.ggml_backend_dev_get_props.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Props)]
    ggml.ggml_backend_dev_get_props.restype = None
    return [_device(ggml, int(ggml.ggml_backend_dev_get(number))) for number in range(n_devices)]


def _device(ggml: Any, handle: int) -> Device:
    n_free, n_total = ctypes.c_size_t(), ctypes.c_size_t()
    for_ggml = ctypes.c_void_p(handle)
    ggml.ggml_backend_dev_memory(for_ggml, ctypes.byref(n_free), ctypes.byref(n_total))
    kind = ggml.ggml_backend_dev_type(for_ggml)
    props = _Props()
    ggml.ggml_backend_dev_get_props(for_ggml, ctypes.byref(props))
    return Device(
        name=(ggml.ggml_backend_dev_name(for_ggml) or b"").decode("utf-8", "replace"),
        description=(ggml.ggml_backend_dev_description(for_ggml) or b"").decode("utf-8", "replace"),
        kind=_KINDS[kind] if 0 <= kind < len(_KINDS) else "other",
        n_free=n_free.value,
        n_total=n_total.value,
        handle=handle,
        hardware_id=(props.device_id or b"").decode("utf-8", "replace"),
    )


def build() -> str:
    """Return which llama.cpp this is, and what it was built for."""
    load_backends()
    features = llama_cpp.llama_print_system_info().decode("utf-8", "replace")
    return f"llama-cpp-python {llama_cpp.__version__}; {' '.join(features.split()).rstrip('| ')}"

"""llama.cpp's RPC backend through ctypes: devices elsewhere, and being one.

Source of the functions: ``ggml/include/ggml-rpc.h`` and ``ggml-backend.h``; their library comes
with builds that have ``-DGGML_RPC=ON``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.engine.llama.binding import libggml, llama_cpp
from runner.errors import DeviceError

_NAMES = ("libggml-rpc.so", "libggml-rpc.dylib", "ggml-rpc.dll")


def _library() -> Any:
    folder = Path(libggml._name).parent
    for name in _NAMES:
        if (folder / name).exists():
            return ctypes.CDLL(str(folder / name))
    # A build in one piece has the functions in the library itself.
    if hasattr(libggml, "ggml_backend_rpc_start_server"):
        return libggml
    raise DeviceError(
        "this build of llama.cpp cannot compute on other machines",
        hint='build it so: CMAKE_ARGS="-DGGML_RPC=ON" pip install --force-reinstall'
        " --no-binary llama-cpp-python llama-cpp-python",
    )


def add_server(endpoint: str) -> list[int]:
    """Make the devices behind ``host:port`` devices of this process; return their handles.

    The connection that this opens stays the only one, for the life of the process.  llama.cpp
    aborts the process when it breaks.

    Raises:
        DeviceError: This build cannot do it, or there are none.
    """
    rpc: Any = _library()
    ggml: Any = libggml
    # Holds the connection, which would end with the first question otherwise.
    rpc.ggml_backend_rpc_init.argtypes = [ctypes.c_char_p, ctypes.c_uint32]
    rpc.ggml_backend_rpc_init.restype = ctypes.c_void_p
    rpc.ggml_backend_rpc_init(endpoint.encode(), 0)
    rpc.ggml_backend_rpc_add_server.argtypes = [ctypes.c_char_p]
    rpc.ggml_backend_rpc_add_server.restype = ctypes.c_void_p
    registry = rpc.ggml_backend_rpc_add_server(endpoint.encode())
    if not registry:
        raise DeviceError(f"nothing to compute on behind {endpoint}")
    ggml.ggml_backend_register.argtypes = [ctypes.c_void_p]
    ggml.ggml_backend_register.restype = None
    ggml.ggml_backend_register(registry)
    ggml.ggml_backend_reg_dev_count.argtypes = [ctypes.c_void_p]
    ggml.ggml_backend_reg_dev_count.restype = ctypes.c_size_t
    ggml.ggml_backend_reg_dev_get.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    ggml.ggml_backend_reg_dev_get.restype = ctypes.c_void_p
    n = ggml.ggml_backend_reg_dev_count(registry)
    return [int(ggml.ggml_backend_reg_dev_get(registry, i)) for i in range(n)]


def start_server(endpoint: str, devices: Sequence[int], n_threads: int) -> None:
    """Compute for whoever connects to ``host:port``, one after the other; returns on an error only.

    Raises:
        DeviceError: This build cannot do it.
    """
    rpc: Any = _library()
    llama_cpp.llama_backend_init()
    handles = (ctypes.c_void_p * len(devices))(*devices)
    start = rpc.ggml_backend_rpc_start_server
    start.argtypes = [
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_size_t,
        ctypes.POINTER(ctypes.c_void_p),
    ]
    start.restype = None
    start(endpoint.encode(), None, n_threads, len(devices), handles)

"""llama.cpp as a library: started once a process, its log in our log."""

from __future__ import annotations

import ctypes
import logging
import os
import re
from pathlib import Path
from typing import Any

from runner.engine.llama.binding import libggml, libggml_base_path, llama_cpp

logger = logging.getLogger(__name__)

# ggml.h, enum ggml_log_level: 1 debug, 2 info, 3 warn, 4 error, 5 goes on with the line before.
_LEVELS = {3: logging.WARNING, 4: logging.ERROR}
_CONTINUED = 5
#: Said of a cache larger than one context, ours being shared, while each sequence has its own
#: limit; and of vectors that are pooled by us.
_EXPECTED = ("possible training context overflow", "model default pooling_type is")
#: What llama.cpp says of memory that it takes: of which device, and how much.
_BUFFER = re.compile(r"\S+: +(\S+) +(?:model|KV|RS|compute) buffer size = +([\d.]+) MiB")
_last_level = logging.DEBUG
_buffers: dict[str, int] = {}


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
    global _last_level
    if level != _CONTINUED:
        _last_level = _LEVELS.get(level, logging.DEBUG)
    line = text.decode("utf-8", "replace").strip()
    if any(words in line for words in _EXPECTED):
        return
    if found := _BUFFER.match(line):
        _buffers[found[1]] = _buffers.get(found[1], 0) + int(float(found[2]) * (1 << 20))
    if line.strip("."):  # loading draws a row of dots
        logger.log(_last_level, "llama.cpp: %s", line)


def take_buffers() -> dict[str, int]:
    """Return the bytes that llama.cpp took since it was last asked, by its names for memory."""
    taken = dict(_buffers)
    _buffers.clear()
    return taken


def start() -> None:
    """Make llama.cpp ready; called once, before anything else of this room."""
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
    load_backends()
    llama_cpp.llama_backend_init()


def load_backends() -> int:
    """Load what computes, where it is not part of the library itself; returns how many devices.

    A build with ``GGML_BACKEND_DL`` has each kind of processor and card in a file of its own, of
    which this machine's best are taken.  They are looked for beside the library and nowhere else:
    left alone, ggml looks where the program was started, and loads what it finds there.

    Source: ``ggml/src/ggml-backend-reg.cpp``.
    """
    # Else a process that aborts starts a debugger first, where there is one: that takes seconds, in
    # which nobody hears of the end, and its hundred lines hide the one that says why.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    ggml: Any = libggml
    ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    if not ggml.ggml_backend_dev_count():
        ggml.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
        ggml.ggml_backend_load_all_from_path.restype = None
        ggml.ggml_backend_load_all_from_path(bytes(Path(libggml_base_path)))
    return int(ggml.ggml_backend_dev_count())

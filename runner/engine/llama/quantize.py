"""llama.cpp's own quantizer, with what it says while it works.

It writes the same file as its command line tool does: that is the same function.  It tells its
progress and its plan only in its log, a line for each tensor, which is read here.
"""

from __future__ import annotations

import ctypes
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.engine.llama.binding import llama_cpp
from runner.errors import BadModelFile, DiskFull

if TYPE_CHECKING:  # most are made without a matrix, and numpy takes longer to load than to quantize
    import numpy as np
    import numpy.typing as npt

logger = logging.getLogger(__name__)

#: Bytes of a tensor's rows, as they were, in float32 and as they become, that are at work at once.
#: llama.cpp's own limit is 8 GiB: whole tensors, whose new memory costs a tenth of the time.  Each
#: row is quantized by itself, so the result is the same.
_SLAB_BYTES = 32 << 20
# ggml.h, enum ggml_log_level.
_WARN, _ERROR = 3, 4
#: ``[   3/ 272]  blk.0.attn_k.weight   - [  576,  192,    1,    1], type =    f16, ``
_BEGUN = re.compile(r"\[\s*\d+/\s*\d+\]\s+(\S+)\s+- \[[^\]]*\], type =\s*(\S+?),")
#: ``size =     0.63 MiB ->     0.18 MiB (q4_K)``, of a dry run; without an arrow it stays.
_CHOSEN = re.compile(r"size =.*->.*\((\S+)\)")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to quantize.

    Attributes:
        number: Of ``enum llama_ftype``.
        tensors: Pattern and number of ``enum ggml_type``, the first that fits counts.
        imatrix: Importance of each input, by the tensor's name: float32, flat.
        requantizes: Whether what is quantized already may be so again.
        n_threads: 0: one for each core.
    """

    number: int
    tensors: Sequence[tuple[str, int]] = ()
    imatrix: Mapping[str, npt.NDArray[np.float32]] | None = None
    requantizes: bool = False
    n_threads: int = 0


def quantize(source: str, out: str, recipe: Recipe, begun: Callable[[str], None]) -> None:
    """Write ``source`` again as ``out``.

    Args:
        source: GGUF file, the first one where there are several.
        out: Replaced if it is there; incomplete when this raises.
        recipe: How.
        begun: Called with the name of each tensor as its turn comes.

    Raises:
        BadModelFile: llama.cpp refused; the message has its reason, and the tensor at fault.
    """
    listener = _Listener(lambda name, _: begun(name))
    _run(source, out, recipe, listener, is_dry=False)


def plan(source: str, recipe: Recipe) -> dict[str, str]:
    """Return the type that each tensor would get, as ggml names it, in the order of writing.

    A tensor that would stay as it is has an empty text.  Raises as ``quantize``.
    """
    chosen: dict[str, str] = {}
    listener = _Listener(chosen.__setitem__)
    _run(source, "", recipe, listener, is_dry=True)
    return chosen


class _Listener:
    """Reads the log.  Its lines come in pieces, and one about a tensor in two of them."""

    def __init__(self, on_tensor: Callable[[str, str], None]) -> None:
        self.tensor = ""  # begun last
        self.reason = ""
        self._on_tensor = on_tensor
        self._line = ""

    def hear(self, level: int, text: str) -> None:
        self._line += text
        begun = _BEGUN.search(self._line)
        if begun and begun[1] != self.tensor:
            self.tensor = begun[1]
            self._on_tensor(self.tensor, "")
        if not self._line.endswith("\n"):
            return
        line, self._line = self._line.strip(), ""
        if begun and (chosen := _CHOSEN.search(line)):
            self._on_tensor(self.tensor, chosen[1])
        if level == _ERROR and "failed to quantize: " in line:
            self.reason = line.partition("failed to quantize: ")[2]
        if level in (_WARN, _ERROR):
            logger.log(_level_of(level, line), "llama.cpp: %s", line)


def _level_of(level: int, line: str) -> int:
    """Of tensors whose rows fit no block of their type there is a line each, and one for all."""
    if "falling back" in line:
        return logging.DEBUG
    return logging.WARNING if level == _WARN else logging.ERROR


def _run(source: str, out: str, recipe: Recipe, listener: _Listener, *, is_dry: bool) -> None:
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = recipe.number
    params.nthread = recipe.n_threads
    params.allow_requantize = recipe.requantizes
    params.dry_run = is_dry
    params.max_buf_size = _SLAB_BYTES
    overrides = [(pattern.encode(), number) for pattern, number in recipe.tensors]
    if overrides:
        params.tt_overrides = _ended(llama_cpp.llama_model_tensor_override, overrides)
    if recipe.imatrix is not None:
        floats = ctypes.POINTER(ctypes.c_float)
        entries = [
            (name.encode(), values.ctypes.data_as(floats), values.size)
            for name, values in recipe.imatrix.items()
        ]
        params.imatrix = _ended(llama_cpp.llama_model_imatrix_data, entries)

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
    def log(level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
        listener.hear(level, text.decode("utf-8", "replace"))

    llama_cpp.llama_log_set(log, ctypes.c_void_p(0))
    try:
        code = llama_cpp.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(params))
    finally:
        llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
    if code != 0:
        at = f" at tensor '{listener.tensor}'" if listener.tensor else ""
        if "iostream error" in listener.reason:  # how a C++ stream says that it cannot write
            raise DiskFull(
                f"the new file could not be written{at}: the disk is full, or refuses it",
                hint="make room: corral list shows what models take, corral rm removes one",
            )
        raise BadModelFile(
            f"llama.cpp could not quantize the model{at}: {listener.reason or 'it gave no reason'}"
        )


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _silent(_level: int, _text: bytes, _user_data: ctypes.c_void_p) -> None:
    """What is said after the listener is gone is of no interest."""


def _ended(kind: Any, rows: Sequence[tuple[object, ...]]) -> Any:
    """An array of structs with one of zeros at its end, as llama.cpp wants its lists."""
    return (kind * (len(rows) + 1))(*rows)

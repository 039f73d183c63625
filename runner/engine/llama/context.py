"""A context: the cache, the batch and the decode call."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from runner.engine.backend import NoSlot, decode_failed
from runner.engine.chunks import Chunk
from runner.engine.llama.binding import llama_cpp
from runner.engine.llama.candidates import Candidates
from runner.engine.llama.model import Model
from runner.engine.llama.params import RopeParams, use_rope
from runner.errors import CorralError, NotEnoughMemory, WorkerError

_INT32 = ctypes.sizeof(ctypes.c_int32)
_PARTIAL = llama_cpp.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
#: ggml.h, enum ggml_type, of the types that a cache can have.
_KV_TYPES = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8, "q5_1": 7, "q5_0": 6, "q4_1": 3, "q4_0": 2}
_FLASH_AUTO = -1  # llama.h, enum llama_flash_attn_type: -1 where it works, 0 off, 1 on


@dataclass(frozen=True, slots=True)
class ContextParams:
    """Sizes in tokens (cells over all sequences, tokens a step), threads, and the cache's numbers.

    ``kv_type_k`` and ``kv_type_v`` are ggml's names; ``flash_attention`` is ``None`` where
    llama.cpp decides.
    """

    n_cells: int
    n_seq_max: int
    n_batch: int
    n_threads: int
    kv_type_k: str = "f16"
    kv_type_v: str = "f16"
    flash_attention: bool | None = None
    rope: RopeParams = field(default_factory=RopeParams)


def _check_types(params: ContextParams) -> None:
    """Refuse what llama.cpp would refuse without a word to our caller."""
    for kind in (params.kv_type_k, params.kv_type_v):
        if kind not in _KV_TYPES:
            raise WorkerError(
                f"a cache cannot have the type '{kind}'", hint=f"use {', '.join(_KV_TYPES)}"
            )
    if params.kv_type_v.startswith("q") and params.flash_attention is False:
        raise WorkerError(
            f"a cache of type {params.kv_type_v} needs flash attention, which is switched off",
            hint="set CORRAL_KV_CACHE_TYPE=f16, or leave CORRAL_FLASH_ATTENTION unset",
        )


def _no_context(params: ContextParams) -> CorralError:
    """What to say when llama.cpp made no context: it does not tell us why."""
    if params.kv_type_k.startswith("q") or params.kv_type_v.startswith("q"):
        return WorkerError(
            f"llama.cpp cannot make a context of {params.n_cells} tokens with a cache of type"
            f" {params.kv_type_k}/{params.kv_type_v} for this model",
            hint="set CORRAL_KV_CACHE_TYPE=f16: not every model's heads can be packed; its own"
            " reason is in the log: corral daemon logs",
        )
    return NotEnoughMemory(
        f"no memory for a context of {params.n_cells} tokens",
        hint="ask for a smaller num_ctx, or close other programs",
    )


class Context:
    """Owns a ``llama_context`` with one unified cache; loop thread only.

    Attributes:
        n_cells: Cells over all sequences.
        native_s: Seconds spent inside llama.cpp so far.  A device computes on after
            ``llama_decode``, and is waited for where its logits are asked for.
        candidates: Room for the tokens that a sampler chooses from.
        all_tokens: Every token's id, ``(n_vocab,)``.
        n_ubatch: Tokens that llama.cpp computes at a time.
        bends_positions: Whether pictures take fewer positions than cells.
    """

    bends_positions = False

    def __init__(self, model: Model, params: ContextParams) -> None:
        """Allocate cache and buffers.

        Raises:
            NotEnoughMemory: llama.cpp could not allocate them.
            WorkerError: The cache cannot be as it was asked for.
        """
        _check_types(params)
        c_params = llama_cpp.llama_context_default_params()
        c_params.n_ctx = params.n_cells
        c_params.n_batch = params.n_batch
        c_params.n_ubatch = min(params.n_batch, 512)
        c_params.n_seq_max = params.n_seq_max
        c_params.n_threads = params.n_threads
        c_params.n_threads_batch = params.n_threads
        # One pool of cells for all sequences; without it a partial seq_cp aborts the process.
        c_params.kv_unified = True
        c_params.swa_full = False
        c_params.no_perf = True
        c_params.type_k = _KV_TYPES[params.kv_type_k]
        c_params.type_v = _KV_TYPES[params.kv_type_v]
        flash = params.flash_attention
        c_params.flash_attn_type = _FLASH_AUTO if flash is None else int(flash)
        use_rope(c_params, params.rope)
        self.params = c_params
        self.n_ubatch = int(c_params.n_ubatch)
        self.handle = llama_cpp.llama_init_from_model(model.handle, c_params)
        if not self.handle:
            raise _no_context(params)
        self.n_cells = int(llama_cpp.llama_n_ctx(self.handle))
        self._memory = llama_cpp.llama_get_memory(self.handle)
        self.native_s = 0.0
        self.candidates = Candidates(model.n_vocab)
        self.all_tokens = np.arange(model.n_vocab, dtype=np.int32)
        self._n_vocab = model.n_vocab
        self._logits = np.empty((0, model.n_vocab), np.float32)
        self._logits_address = self._n_drawn = 0
        self._allocate(params.n_batch)

    def close(self) -> None:
        """Free cache and buffers."""
        llama_cpp.llama_free(self.handle)

    def decode(self, chunks: Seq[Chunk]) -> list[int]:
        """Compute the chunks in one ``llama_decode``; return the number of each one's last logits.

        Guesses have logits of their own, one after the other.

        Raises:
            NoSlot: llama.cpp found no room; nothing changed.
            DecodeFailed: Anything else.
        """
        tokens, positions = self._tokens, self._positions
        seq_ids, draws = self._seq_ids, self._draws
        last_rows: list[int] = []
        row = n_drawn = 0
        for chunk in chunks:
            seq, start, n = chunk.seq, chunk.start, chunk.n
            if n == 1:
                tokens[row] = seq.tokens[start]
                positions[row] = start
                seq_ids[row] = seq.seq_id
                n_rows = 1 if chunk.draw else chunk.n_rows
                draws[row] = n_rows
            else:
                end = row + n
                tokens[row:end] = [*seq.tokens[start : start + chunk.n_sure], *chunk.guess]
                positions[row:end] = list(range(start, start + n))
                seq_ids[row:end] = [seq.seq_id] * n
                n_rows = chunk.n_rows
                ctypes.memset(ctypes.byref(draws, row), 0, n - n_rows)
                ctypes.memset(ctypes.byref(draws, end - n_rows), 1, n_rows)
            row += n
            n_drawn += n_rows
            last_rows.append(n_drawn - 1)
        self._batch.n_tokens = row
        self._n_drawn = n_drawn
        if self.bends_positions:
            self._bend(chunks)
        began = time.perf_counter()
        code = llama_cpp.llama_decode(self.handle, self._batch)
        found = llama_cpp.llama_get_logits(self.handle) if code == 0 and n_drawn else None
        self.native_s += time.perf_counter() - began
        if code == 0:
            if found is not None:
                self._see_logits(ctypes.addressof(found.contents))
            return last_rows
        if code == 1:  # llama.h: 1 means no KV slot
            raise NoSlot
        raise decode_failed(code, f"{row} tokens")

    def _bend(self, chunks: Seq[Chunk]) -> None:
        """Put what follows pictures where they leave off."""
        row = 0
        for chunk in chunks:
            if chunk.seq.pictures:
                first = chunk.seq.position(chunk.start)
                self._positions[row : row + chunk.n] = list(range(first, first + chunk.n))
            row += chunk.n

    def compute(self, tokens: Seq[int], start: int, first: int) -> npt.NDArray[np.float32]:
        """Compute tokens of sequence 0 in one ``llama_decode``; return the logits of the last ones.

        Args:
            tokens: At most ``n_batch``.
            start: Position of the first of them.
            first: Position from which on logits are wanted.

        Returns:
            ``(rows, n_vocab)``, valid until the next step.

        Raises:
            DecodeFailed: llama.cpp could not.
        """
        n = len(tokens)
        n_rows = min(n, max(0, start + n - first))
        self._tokens[:n] = list(tokens)
        self._positions[:n] = list(range(start, start + n))
        self._seq_ids[:n] = [0] * n
        for row in range(n):
            self._draws[row] = int(row >= n - n_rows)
        self._batch.n_tokens = n
        began = time.perf_counter()
        code = llama_cpp.llama_decode(self.handle, self._batch)
        self.native_s += time.perf_counter() - began
        if code != 0:
            raise decode_failed(code, f"{n} tokens")
        if not n_rows:
            return np.empty((0, len(self.all_tokens)), np.float32)
        found = llama_cpp.llama_get_logits(self.handle)
        return np.ctypeslib.as_array(found, shape=(n_rows, len(self.all_tokens)))

    def use_threads(self, n: int) -> None:
        """Compute with so many threads from the next step on."""
        llama_cpp.llama_set_n_threads(self.handle, n, n)

    def logits(self, number: int) -> npt.NDArray[np.float32]:
        """Return the logits with a number from ``decode``, ``(n_vocab,)``, until the next step."""
        if not 0 <= number < self._n_drawn:
            raise ValueError(f"there are {self._n_drawn} logits, not {number + 1}")
        row: npt.NDArray[np.float32] = self._logits[number]
        return row

    def _see_logits(self, address: int) -> None:
        """See llama.cpp's logits as an array: a row for each token that was asked for, in order.

        They stay where they are until a step asks for more of them than any before.
        """
        if address != self._logits_address or self._n_drawn > len(self._logits):
            n = self._n_drawn
            values = (ctypes.c_float * (n * self._n_vocab)).from_address(address)
            self._logits = np.frombuffer(values, np.float32).reshape(n, -1)
            self._logits_address = address

    def free(self, seq_id: int) -> None:
        """Free all cells of a sequence."""
        llama_cpp.llama_memory_seq_rm(self._memory, seq_id, -1, -1)

    def cut(self, seq_id: int, n: int) -> None:
        """Free all cells of a sequence but the first ``n``."""
        llama_cpp.llama_memory_seq_rm(self._memory, seq_id, n, -1)

    def share(self, source: int, target: int, n: int) -> None:
        """Let ``target`` see the first ``n`` positions of ``source``; copies no data."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, n)

    def save(self, seq_id: int, *, partial: bool = False) -> bytes:
        """Return the state of a sequence, as llama.cpp serializes it; empty if it can't.

        Args:
            seq_id: Whose.
            partial: Only what later tokens overwrite: recurrent state, and a sliding window.
        """
        flags = _PARTIAL if partial else 0
        size = llama_cpp.llama_state_seq_get_size_ext(self.handle, seq_id, flags)
        try:
            buffer = (ctypes.c_uint8 * size)()
            n_written = llama_cpp.llama_state_seq_get_data_ext(
                self.handle, buffer, size, seq_id, flags
            )
            return bytes(memoryview(buffer)[:n_written])
        except MemoryError:  # it can be computed again; nothing else may fail for it
            return b""

    def restore(self, seq_id: int, blob: bytes, n: int, mark: bytes = b"") -> bool:
        """Give an empty sequence the first ``n`` tokens of a saved one; whether it worked.

        Where a state cannot be cut, ``mark`` is what ``save(partial=True)`` gave after ``n``
        tokens: it takes the place of what the later ones overwrote.
        """
        if (
            self._set(seq_id, blob, 0)
            and (not mark or self._set(seq_id, mark, _PARTIAL))
            and llama_cpp.llama_memory_seq_rm(self._memory, seq_id, n, -1)
        ):
            return True
        self.free(seq_id)
        return False

    def _set(self, seq_id: int, blob: bytes, flags: int) -> bool:
        pointer = ctypes.cast(ctypes.c_char_p(blob), ctypes.POINTER(ctypes.c_uint8))
        n_read = llama_cpp.llama_state_seq_set_data_ext(
            self.handle, pointer, len(blob), seq_id, flags
        )
        return bool(n_read)

    def clear(self) -> None:
        """Free all cells; their contents may stay."""
        llama_cpp.llama_memory_clear(self._memory, False)

    def _allocate(self, n_batch: int) -> None:
        """Flat arrays for a batch, filled anew each step and never reallocated."""
        self._tokens = (llama_cpp.llama_token * n_batch)()
        self._positions = (llama_cpp.llama_pos * n_batch)()
        self._seq_ids = (llama_cpp.llama_seq_id * n_batch)()
        self._draws = (ctypes.c_int8 * n_batch)()
        one_each = (ctypes.c_int32 * n_batch)(*([1] * n_batch))
        pointer = ctypes.POINTER(llama_cpp.llama_seq_id)
        base = ctypes.addressof(self._seq_ids)
        each_id = (pointer * n_batch)(
            *(ctypes.cast(base + row * _INT32, pointer) for row in range(n_batch))
        )
        self._batch = llama_cpp.llama_batch(
            n_tokens=0,
            token=self._tokens,
            embd=None,
            pos=self._positions,
            n_seq_id=one_each,
            seq_id=each_id,
            logits=self._draws,
        )

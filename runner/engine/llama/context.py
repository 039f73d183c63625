"""A context: the cache, the batch and the decode call."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence as Seq
from dataclasses import dataclass

import llama_cpp
import numpy as np
import numpy.typing as npt

from runner.engine.backend import DecodeFailed, NoSlot
from runner.engine.llama.candidates import Candidates
from runner.engine.llama.model import Model
from runner.engine.scheduler import Chunk
from runner.errors import NotEnoughMemory

_INT32 = ctypes.sizeof(ctypes.c_int32)


@dataclass(frozen=True, slots=True)
class ContextParams:
    """Sizes, in tokens: cells over all sequences, tokens a step; and threads."""

    n_cells: int
    n_seq_max: int
    n_batch: int
    n_threads: int


class Context:
    """Owns a ``llama_context`` with one unified cache; loop thread only.

    Attributes:
        candidates: Room for the tokens that a sampler chooses from.
        all_tokens: Every token's id, ``(n_vocab,)``.
    """

    def __init__(self, model: Model, params: ContextParams) -> None:
        """Allocate cache and buffers.

        Raises:
            NotEnoughMemory: llama.cpp could not allocate them.
        """
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
        self.handle = llama_cpp.llama_init_from_model(model.handle, c_params)
        if not self.handle:
            raise NotEnoughMemory(
                f"no memory for a context of {params.n_cells} tokens",
                hint="ask for a smaller num_ctx, or close other programs",
            )
        self.n_cells = int(llama_cpp.llama_n_ctx(self.handle))
        self._memory = llama_cpp.llama_get_memory(self.handle)
        self.candidates = Candidates(model.n_vocab)
        self.all_tokens = np.arange(model.n_vocab, dtype=np.int32)
        self._logits_type = ctypes.c_float * model.n_vocab
        self._allocate(params.n_batch)

    def close(self) -> None:
        """Free cache and buffers."""
        llama_cpp.llama_free(self.handle)

    def decode(self, chunks: Seq[Chunk]) -> list[int]:
        """Compute the chunks in one ``llama_decode``; return each one's last row.

        Raises:
            NoSlot: llama.cpp found no room; nothing changed.
            DecodeFailed: Anything else.
        """
        tokens, positions = self._tokens, self._positions
        seq_ids, draws = self._seq_ids, self._draws
        last_rows: list[int] = []
        row = 0
        for chunk in chunks:
            seq, start, n = chunk.seq, chunk.start, chunk.n
            if n == 1:
                tokens[row] = seq.tokens[start]
                positions[row] = start
                seq_ids[row] = seq.seq_id
                draws[row] = 0
            else:
                end = row + n
                tokens[row:end] = list(seq.tokens[start : start + n])
                positions[row:end] = list(range(start, start + n))
                seq_ids[row:end] = [seq.seq_id] * n
                ctypes.memset(ctypes.byref(draws, row), 0, n)
            row += n
            if chunk.draw:
                draws[row - 1] = 1
            last_rows.append(row - 1)
        self._batch.n_tokens = row
        code = llama_cpp.llama_decode(self.handle, self._batch)
        if code == 0:
            return last_rows
        if code == 1:  # llama.h: 1 means no KV slot
            raise NoSlot
        raise DecodeFailed(f"llama_decode returned {code} for {row} tokens")

    def logits(self, row: int) -> npt.NDArray[np.float32]:
        """Return the logits of batch row ``row``, ``(n_vocab,)``; valid until the next step."""
        address = llama_cpp.llama_get_logits_ith(self.handle, row)
        if not address:
            raise ValueError(f"row {row} was not asked for its logits")
        values = self._logits_type.from_address(ctypes.addressof(address.contents))
        return np.frombuffer(values, dtype=np.float32)

    def free(self, seq_id: int) -> None:
        """Free all cells of a sequence."""
        llama_cpp.llama_memory_seq_rm(self._memory, seq_id, -1, -1)

    def share(self, source: int, target: int, n: int) -> None:
        """Let ``target`` see the first ``n`` cells of ``source``; copies no data."""
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, n)

    def save(self, seq_id: int) -> bytes:
        """Return the state of a sequence's cells, as llama.cpp serializes it; empty if it can't."""
        size = llama_cpp.llama_state_seq_get_size(self.handle, seq_id)
        try:
            buffer = (ctypes.c_uint8 * size)()
            n_written = llama_cpp.llama_state_seq_get_data(self.handle, buffer, size, seq_id)
            return bytes(memoryview(buffer)[:n_written])
        except MemoryError:  # it can be computed again; nothing else may fail for it
            return b""

    def restore(self, seq_id: int, blob: bytes, n: int) -> bool:
        """Give an empty sequence the first ``n`` cells of a saved one; whether it worked."""
        pointer = ctypes.cast(ctypes.c_char_p(blob), ctypes.POINTER(ctypes.c_uint8))
        n_read = llama_cpp.llama_state_seq_set_data(self.handle, pointer, len(blob), seq_id)
        if n_read and llama_cpp.llama_memory_seq_rm(self._memory, seq_id, n, -1):
            return True
        self.free(seq_id)
        return False

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

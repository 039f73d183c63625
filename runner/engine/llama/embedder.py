"""A context of its own for vectors: inputs in, what the last layer says of each token out.

llama.cpp's own pooling is used for scores alone, where a head belongs to it.  Everywhere else the
tokens' vectors come out and ``engine/embed.py`` pools them: so a text may be computed in pieces,
and each request may choose.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence as Seq

import numpy as np
import numpy.typing as npt

from runner.domain.vectors import Pooling
from runner.engine.backend import DecodeFailed, decode_failed
from runner.engine.embed import Piece
from runner.engine.llama.binding import llama_cpp
from runner.engine.llama.model import Model
from runner.errors import NotEnoughMemory

#: Inputs of one step; llama.cpp's own limit is 256.
_N_SEQ_MAX = 64
#: Tokens of an encoder's step.  Each attends to all of the step, strangers masked out, so larger
#: steps cost more for the same texts.
_N_STEP = 256
#: Beside the vectors llama.cpp keeps a causal model's logits, for all tokens of a step: the bytes
#: they may take, and the bounds of a step in tokens.
_LOGITS_BYTES, _LEAST_STEP, _MOST_STEP = 64 << 20, 32, 512


class LlamaEmbedder:
    """Owns a ``llama_context`` that embeds; see ``Embedder``."""

    def __init__(self, model: Model, *, n_ctx: int, n_threads: int) -> None:
        """Allocate a context for inputs of up to ``n_ctx`` tokens.

        Raises:
            NotEnoughMemory: llama.cpp could not allocate it.
        """
        facts = model.embedding
        self._is_ranker = facts.pooling is Pooling.RANK
        in_pieces = facts.is_causal and not self._is_ranker
        n_step = max(_LEAST_STEP, min(_MOST_STEP, _LOGITS_BYTES // (4 * model.n_vocab)))
        self.n_step = n_step if in_pieces else _N_STEP
        self.n_batch = n_step if in_pieces else max(n_ctx, _N_STEP)
        self.n_seq_max = min(_N_SEQ_MAX, llama_cpp.llama_max_parallel_sequences())
        params = llama_cpp.llama_context_default_params()
        # One input at most is half done while a whole step comes beside it.
        params.n_ctx = n_ctx + self.n_batch
        params.n_batch = params.n_ubatch = self.n_batch
        params.n_seq_max = self.n_seq_max
        params.n_threads = params.n_threads_batch = n_threads
        params.kv_unified = True
        params.embeddings = True
        none, rank = llama_cpp.LLAMA_POOLING_TYPE_NONE, llama_cpp.LLAMA_POOLING_TYPE_RANK
        params.pooling_type = rank if self._is_ranker else none
        params.no_perf = True
        self.handle = llama_cpp.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise NotEnoughMemory(
                f"no memory to embed texts of {n_ctx} tokens",
                hint="ask for a smaller num_ctx, or close other programs",
            )
        self._memory = llama_cpp.llama_get_memory(self.handle)
        self._n_scores = max(1, llama_cpp.llama_model_n_cls_out(model.handle))
        self._n_dimensions = facts.n_dimensions
        self._batch = llama_cpp.llama_batch_init(self.n_batch, 0, 1)

    def close(self) -> None:
        """Free the context."""
        llama_cpp.llama_batch_free(self._batch)
        llama_cpp.llama_free(self.handle)

    def use_threads(self, n: int) -> None:
        """Compute with so many threads from the next step on."""
        llama_cpp.llama_set_n_threads(self.handle, n, n)

    def compute(self, pieces: Seq[Piece]) -> list[npt.NDArray[np.float32]]:
        """Compute a step; see ``Embedder``."""
        n = self._fill(pieces)
        if not self._memory:
            code = llama_cpp.llama_encode(self.handle, self._batch)
        else:
            code = llama_cpp.llama_decode(self.handle, self._batch)
        if code != 0:
            raise decode_failed(code, f"{n} tokens of {len(pieces)} inputs")
        if self._is_ranker:
            return [self._scores(piece.item.seq_id) for piece in pieces]
        pointer = llama_cpp.llama_get_embeddings(self.handle)
        rows = _array(pointer, n * self._n_dimensions).reshape(n, self._n_dimensions)
        ends = np.cumsum([piece.n for piece in pieces])[:-1]
        return np.split(rows, ends)

    def free(self, seq_id: int) -> None:
        """Free an input's cells."""
        llama_cpp.llama_memory_seq_rm(self._memory, seq_id, -1, -1)

    def clear(self) -> None:
        """Free all cells."""
        llama_cpp.llama_memory_clear(self._memory, False)

    def _fill(self, pieces: Seq[Piece]) -> int:
        batch, row = self._batch, 0
        for piece in pieces:
            for position in range(piece.start, piece.start + piece.n):
                batch.token[row] = piece.item.tokens[position]
                batch.pos[row] = position
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = piece.item.seq_id
                batch.logits[row] = 1
                row += 1
        batch.n_tokens = row
        return row

    def _scores(self, seq_id: int) -> npt.NDArray[np.float32]:
        pointer = llama_cpp.llama_get_embeddings_seq(self.handle, seq_id)
        return _array(pointer, self._n_scores).reshape(1, -1).copy()


def _array(pointer: ctypes._Pointer[ctypes.c_float], n: int) -> npt.NDArray[np.float32]:
    """The numbers behind a pointer of llama.cpp, which are valid until the next step."""
    if not pointer:
        raise DecodeFailed("llama.cpp kept no vectors")
    values: npt.NDArray[np.float32] = np.ctypeslib.as_array(pointer, shape=(n,))
    return values

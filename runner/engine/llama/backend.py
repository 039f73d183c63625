"""The real ``Backend``: a model, a context and its samplers."""

from __future__ import annotations

import os
from collections.abc import Sequence as Seq

from runner.domain.options import SamplingParams
from runner.domain.request import Constraint
from runner.engine.detokenize import Detokenizer
from runner.engine.llama import library
from runner.engine.llama.context import Context, ContextParams
from runner.engine.llama.grammar import new_compiler
from runner.engine.llama.model import Model, ModelParams
from runner.engine.llama.sampler import new_sampler
from runner.engine.scheduler import Chunk
from runner.engine.sequence import Sampler, Sequence
from runner.protocol.messages import Load

#: Ended sequences that stay in the cache: the last one; the others wait in host memory.
_N_COLD_MAX = 1


class LlamaBackend:
    """One loaded model; attributes as in ``Backend``, and its vocabulary as ``model``."""

    def __init__(self, load: Load) -> None:
        """Load what ``load`` asks for, and compute one token so that the first answer is quick.

        Raises:
            WorkerError: llama.cpp refuses the file.
            NotEnoughMemory: The context does not fit.
        """
        library.start()
        self.model = Model(load.path, ModelParams(load.n_gpu_layers, load.use_mmap))
        self.n_ctx = min(load.n_ctx, self.model.n_ctx_train or load.n_ctx)
        self.n_cold_max = _N_COLD_MAX if self.model.can_be_cut else 0
        self.n_threads = load.n_threads or os.cpu_count() or 1
        params = ContextParams(
            n_cells=max(load.n_cells, self.n_ctx),
            n_seq_max=load.n_seq_max + self.n_cold_max,
            # llama.cpp wants room for a token of each sequence in a step, and so do we.
            n_batch=max(load.n_batch, load.n_seq_max + self.n_cold_max),
            n_threads=self.n_threads,
        )
        try:
            self._context = Context(self.model, params)
        except BaseException:
            self.model.close()
            raise
        self.n_cells = self._context.n_cells
        self.n_batch = params.n_batch
        self.n_seq_max = load.n_seq_max
        self.n_vocab = self.model.n_vocab
        self._compiler = new_compiler(self.model)
        self._warm_up()

    def decode(self, chunks: Seq[Chunk]) -> list[int]:
        """Compute a step; see ``Backend``."""
        return self._context.decode(chunks)

    def new_sampler(
        self,
        params: SamplingParams,
        prompt: list[int],
        *,
        constraint: Constraint | None = None,
        n_logprobs: int | None = None,
    ) -> Sampler:
        """Return a sampler for one sequence; see ``Backend``."""
        return new_sampler(
            self.model,
            self._context,
            params,
            prompt,
            matcher=self._compiler.matcher(constraint) if constraint else None,
            n_logprobs=n_logprobs,
            index=self.model.piece_index,
        )

    def free(self, seq_id: int) -> None:
        """Free all cells of a sequence."""
        self._context.free(seq_id)

    def share(self, source: int, target: int, n: int) -> None:
        """Let a sequence see another's first cells."""
        self._context.share(source, target, n)

    def save(self, seq_id: int) -> bytes:
        """Return the state of a sequence."""
        return self._context.save(seq_id)

    def restore(self, seq_id: int, blob: bytes, n: int) -> bool:
        """Give an empty sequence the first cells of a saved one."""
        return self._context.restore(seq_id, blob, n)

    def clear(self) -> None:
        """Free all cells."""
        self._context.clear()

    def close(self) -> None:
        """Free everything; called last."""
        self._context.close()
        self.model.close()

    def _warm_up(self) -> None:
        """Touch the weights once: a mapped file is read from disk here, not in a first answer."""
        sampler = self.new_sampler(SamplingParams(temperature=0), [])
        seq = Sequence("", [0], 1, 2, sampler, Detokenizer(), seq_id=0)
        self.decode([Chunk(seq, 0, 1, draw=True)])
        sampler.close()
        self.clear()

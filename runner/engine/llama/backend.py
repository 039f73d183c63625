"""The real ``Backend``: a model, a context and its samplers."""

from __future__ import annotations

import os
from collections.abc import Sequence as Seq

from runner.domain.options import SamplingParams
from runner.engine.detokenize import Detokenizer
from runner.engine.llama import library
from runner.engine.llama.context import Context, ContextParams
from runner.engine.llama.embedder import LlamaEmbedder
from runner.engine.llama.lora import AdapterSet
from runner.engine.llama.model import Model, ModelParams
from runner.engine.llama.sampler import new_sampler
from runner.engine.scheduler import Chunk
from runner.engine.sequence import Sampler, Sequence
from runner.errors import Unsupported
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
        self.embedding = self.model.embedding
        self.n_ctx = min(load.n_ctx, self.model.n_ctx_train or load.n_ctx)
        self.n_cold_max = _N_COLD_MAX if self.model.can_be_cut and load.generates else 0
        self.n_threads = load.n_threads or os.cpu_count() or 1
        # llama.cpp wants room for a token of each sequence in a step, and so do we.
        self.n_batch = max(load.n_batch, load.n_seq_max + self.n_cold_max)
        self.n_cells = max(load.n_cells, self.n_ctx)
        self.n_seq_max = load.n_seq_max
        self.n_vocab = self.model.n_vocab
        self.n_adapters = len(load.adapters)
        self._generator: Context | None = None
        self._embedder: LlamaEmbedder | None = None
        try:
            self._adapters = AdapterSet(self.model, load.adapters)
            if load.generates:
                self._generator = self._new_context()
                self._warm_up()
            else:
                self.embedder()  # now, so that what does not fit is refused by the load
        except BaseException:
            self.close()
            raise

    @property
    def _context(self) -> Context:
        assert self._generator is not None, "loaded without a cache: there is nothing to step"
        return self._generator

    def decode(self, chunks: Seq[Chunk]) -> list[int]:
        """Compute a step; see ``Backend``."""
        self._adapters.use(self._context.handle, chunks[0].seq.adapters)
        return self._context.decode(chunks)

    def embedder(self) -> LlamaEmbedder:
        """Return what computes vectors, made when it is first asked for."""
        if self._embedder is None:
            embedder = LlamaEmbedder(self.model, n_ctx=self.n_ctx, n_threads=self.n_threads)
            own = tuple((index, 1.0) for index in range(self.n_adapters))
            self._adapters.use(embedder.handle, own)
            self._embedder = embedder
        return self._embedder

    def new_sampler(self, params: SamplingParams, prompt: list[int]) -> Sampler:
        """Return a sampler for one sequence.

        Raises:
            Unsupported: The model was loaded to embed only.
        """
        if self._generator is None:
            raise Unsupported(
                "this model does not generate text", hint="it turns text into numbers"
            )
        return new_sampler(self.model, self._generator, params, prompt)

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
        for context in (self._embedder, self._generator):
            if context is not None:
                context.close()
        self.model.close()

    def _new_context(self) -> Context:
        params = ContextParams(
            n_cells=self.n_cells,
            n_seq_max=self.n_seq_max + self.n_cold_max,
            n_batch=self.n_batch,
            n_threads=self.n_threads,
        )
        context = Context(self.model, params)
        self.n_cells = context.n_cells
        return context

    def _warm_up(self) -> None:
        """Touch the weights once: a mapped file is read from disk here, not in a first answer."""
        sampler = self.new_sampler(SamplingParams(temperature=0), [])
        seq = Sequence("", [0], 1, 2, sampler, Detokenizer(), seq_id=0)
        self.decode([Chunk(seq, 0, 1, draw=True)])
        sampler.close()
        self.clear()

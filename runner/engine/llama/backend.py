"""The real ``Backend``: a model, a context and its samplers."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Sequence as Seq
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from runner.domain.loading import LoadStage
from runner.domain.options import SamplingParams
from runner.domain.request import Constraint
from runner.engine.adapters import own_adapters
from runner.engine.chunks import Chunk
from runner.engine.detokenize import Detokenizer
from runner.engine.grid import GRID
from runner.engine.llama import identity, library
from runner.engine.llama.context import Context, ContextParams
from runner.engine.llama.embedder import LlamaEmbedder
from runner.engine.llama.grammar import new_compiler
from runner.engine.llama.lora import AdapterSet
from runner.engine.llama.model import Model
from runner.engine.llama.params import params_of, rope_of
from runner.engine.llama.sampler import new_sampler
from runner.engine.pictures import Picture
from runner.engine.rules import Bound
from runner.engine.sequence import Sampler, Sequence
from runner.errors import Unsupported
from runner.protocol.messages import Load

if TYPE_CHECKING:
    from runner.engine.llama.vision import LlamaEyes

#: Ended sequences that stay in the cache: the last one; the others wait in host memory.
_N_COLD_MAX = 1


class LlamaBackend:
    """One loaded model; attributes as in ``Backend``, and its vocabulary as ``model``.

    ``helper`` is a smaller one that computes in turn with this one, with as many threads.
    """

    helper: LlamaBackend | None = None

    def __init__(
        self,
        load: Load,
        devices: tuple[tuple[int, int], ...] | None = None,
        on_stage: Callable[[LoadStage, float], None] = lambda stage, share: None,
    ) -> None:
        """Load what ``load`` asks for, and compute one token so that the first answer is quick.

        Args:
            load: What to load, and how.
            devices: As in ``ModelParams``.
            on_stage: Called on this thread with each stage, and how far it is.

        Raises:
            WorkerError: llama.cpp refuses the file.
            NotEnoughMemory: The context does not fit.
        """
        library.start()
        self._lock = threading.Lock()
        self._deterministic: LlamaBackend | None = None
        on_stage(LoadStage.MAPPING, 0.0)
        params = params_of(load, devices, partial(on_stage, LoadStage.UPLOAD))
        self.model = Model(load.path, params)
        self.embedding = self.model.embedding
        rope = rope_of(load)
        self.n_ctx = min(load.n_ctx, rope.n_ctx_max(self.model.n_ctx_train) or load.n_ctx)
        self.n_cold_max = _N_COLD_MAX if self.model.can_be_cut and load.generates else 0
        self.n_threads = load.n_threads or os.cpu_count() or 1
        self._params = ContextParams(
            n_cells=max(load.n_cells, self.n_ctx),
            n_seq_max=load.n_seq_max + self.n_cold_max,
            # llama.cpp wants room for a token of each sequence in a step, and so do we.
            n_batch=max(load.n_batch, load.n_seq_max + self.n_cold_max),
            n_threads=self.n_threads,
            kv_type_k=load.kv_type_k,
            kv_type_v=load.kv_type_v,
            flash_attention=load.flash_attention,
            rope=rope,
        )
        self.n_seq_max = load.n_seq_max
        self.n_adapters = len(load.adapters)
        self._generator: Context | None = None
        self._embedder: LlamaEmbedder | None = None
        self._compiler = new_compiler(self.model)
        self.build = identity.build()
        self.eyes: LlamaEyes | None = None
        on_stage(LoadStage.CONTEXT, 0.0)
        try:
            self._adapters = AdapterSet(self.model, load.adapters)
            if load.generates:
                self._generator = Context(self.model, self._params)
            self._take_sizes()
            if self._generator and load.projector_path:
                from runner.engine.llama.vision import open_eyes  # a library of its own

                on_stage(LoadStage.PROJECTOR, 0.0)
                self.eyes = open_eyes(self.model, self._generator, load, self.n_threads)
            if load.generates:
                on_stage(LoadStage.WARM_UP, 0.0)
                self._warm_up()
            else:
                self.embedder()  # now, so that what does not fit is refused by the load
        except BaseException:
            self.close()
            raise

    @property
    def cache_settings(self) -> dict[str, str | int | float]:
        """What the numbers of the cache depend on, beside the model and the build."""
        return identity.cache_settings(self.model, self._context)

    @property
    def _context(self) -> Context:
        if self._generator is None:
            raise _does_not_generate()
        return self._generator

    def deterministic(self) -> LlamaBackend:
        """Return the backend of deterministic requests; see ``Backend``.

        Raises:
            Unsupported: The model was loaded to embed only.
        """
        if self._generator is None:
            raise _does_not_generate()
        with self._lock:
            if self._deterministic is None:
                self._deterministic = self._beside()
            return self._deterministic

    def decode(self, chunks: Seq[Chunk]) -> list[int]:
        """Compute a step; see ``Backend``."""
        self._adapters.use(self._context.handle, chunks[0].seq.adapters)
        return self._context.decode(chunks)

    def see(self, chunk: Chunk, picture: Picture) -> None:
        """Compute a picture; see ``Backend``."""
        assert self.eyes is not None
        self._adapters.use(self._context.handle, chunk.seq.adapters)
        self.eyes.show(self._context, chunk.seq, picture)

    def use_threads(self, n: int) -> None:
        """Compute with so many threads from the next step on; see ``Backend``."""
        self.n_threads = n
        for context in (self._generator, self._embedder, self.helper):
            if context is not None:
                context.use_threads(n)

    def embedder(self) -> LlamaEmbedder:
        """Return what computes vectors, made when it is first asked for."""
        if self._embedder is None:
            embedder = LlamaEmbedder(self.model, n_ctx=self.n_ctx, n_threads=self.n_threads)
            self._adapters.use(embedder.handle, own_adapters(self.n_adapters))
            self._embedder = embedder
        return self._embedder

    def new_sampler(
        self,
        params: SamplingParams,
        prompt: list[int],
        *,
        constraint: Constraint | None = None,
        n_logprobs: int | None = None,
        budget: Bound | None = None,
    ) -> Sampler:
        """Return a sampler for one sequence; see ``Backend``.

        Raises:
            Unsupported: The model was loaded to embed only.
        """
        return new_sampler(
            self.model,
            self._context,
            params,
            prompt,
            matcher=self._compiler.matcher(constraint) if constraint else None,
            n_logprobs=n_logprobs,
            budget=budget,
            index=self.model.piece_index,
        )

    @property
    def native_s(self) -> float:
        """Seconds inside ``llama_decode`` so far."""
        return self._generator.native_s if self._generator else 0.0

    def free(self, seq_id: int) -> None:
        """Free all cells of a sequence."""
        self._context.free(seq_id)

    def cut(self, seq_id: int, n: int) -> None:
        """Free all cells of a sequence but the first ones."""
        self._context.cut(seq_id, n)

    def share(self, source: int, target: int, n: int) -> None:
        """Let a sequence see another's first cells."""
        self._context.share(source, target, n)

    def save(self, seq_id: int, *, partial: bool = False) -> bytes:
        """Return the state of a sequence."""
        return self._context.save(seq_id, partial=partial)

    def restore(self, seq_id: int, blob: bytes, n: int, mark: bytes = b"") -> bool:
        """Give an empty sequence the first tokens of a saved one."""
        return self._context.restore(seq_id, blob, n, mark)

    def clear(self) -> None:
        """Free all cells."""
        self._context.clear()

    def close(self) -> None:
        """Free everything; called last."""
        beside = self._deterministic._generator if self._deterministic else None
        for context in (self._embedder, beside, self._generator):
            if context is not None:
                context.close()
        if self.eyes is not None:
            self.eyes.close()
        self.model.close()

    def _take_sizes(self) -> None:
        self.n_cells = self._generator.n_cells if self._generator else self._params.n_cells
        self.n_batch = self._params.n_batch
        self.n_vocab = self.model.n_vocab

    def _beside(self) -> LlamaBackend:
        """A backend with the same model and a small context of its own."""
        made = copy.copy(self)
        made.n_seq_max = 1
        made._params = replace(self._params, n_cells=self.n_ctx, n_seq_max=1, n_batch=GRID)
        made._generator = Context(self.model, made._params)
        made._take_sizes()
        return made

    def _warm_up(self) -> None:
        """Touch the weights once: a mapped file is read from disk here, not in a first answer."""
        sampler = self.new_sampler(SamplingParams(temperature=0), [])
        seq = Sequence("", [0], 1, 2, sampler, Detokenizer(), seq_id=0)
        self.decode([Chunk(seq, 0, 1, draw=True)])
        sampler.close()
        self.clear()


def _does_not_generate() -> Unsupported:
    return Unsupported("this model does not generate text", hint="it turns text into numbers")

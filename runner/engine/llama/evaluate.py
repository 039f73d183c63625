"""A model that reads: the logits of every token of a text; no scheduler, no samplers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from runner.engine.adapters import own_adapters
from runner.engine.backend import DecodeFailed
from runner.engine.llama.context import Context, ContextParams
from runner.engine.llama.lora import AdapterSet
from runner.engine.llama.model import Model
from runner.engine.llama.params import ModelParams
from runner.errors import WorkerError

#: Tokens of one step; llama.cpp's own default.
_N_BATCH = 512


class Reader:
    """A model with a context of one window; used by one thread, after ``library.start``."""

    def __init__(
        self, paths: Sequence[str], adapters: Sequence[str], *, n_ctx: int, n_threads: int
    ) -> None:
        """Load it.

        Raises:
            WorkerError: llama.cpp refuses one of the files.
            NotEnoughMemory: The context does not fit.
        """
        shards = tuple(paths) if len(paths) > 1 else ()
        self._model = Model(paths[0], ModelParams(shards=shards))
        params = ContextParams(
            n_cells=n_ctx, n_seq_max=1, n_batch=min(n_ctx, _N_BATCH), n_threads=n_threads
        )
        self._context = Context(self._model, params)
        self._n_batch = params.n_batch
        if adapters:
            loaded = AdapterSet(self._model, tuple(adapters))
            loaded.use(self._context.handle, own_adapters(len(adapters)))

    @property
    def n_vocab(self) -> int:
        """Tokens it knows."""
        return int(self._model.n_vocab)

    @property
    def native_s(self) -> float:
        """Seconds that llama.cpp has computed so far."""
        return self._context.native_s

    @property
    def opening(self) -> list[int]:
        """The token that opens every text, if the model wants one."""
        return self._model.with_bos([])

    def tokenize(self, text: str) -> list[int]:
        """Return the tokens of ``text`` after what opens it; control tokens in it stay text."""
        return self._model.with_bos(self._model.tokenize(text, parse_special=False))

    def read(self, window: Sequence[int], first: int) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the logits of ``window`` from position ``first`` on, in blocks of ``(n, n_vocab)``.

        Each is valid until the next is asked for.

        Raises:
            WorkerError: llama.cpp could not compute it.
        """
        self._context.clear()
        for start in range(0, len(window), self._n_batch):
            try:
                rows = self._context.compute(window[start : start + self._n_batch], start, first)
            except DecodeFailed as error:
                raise WorkerError(f"the text could not be computed: {error}") from None
            if len(rows):
                yield rows

    def close(self) -> None:
        """Free what it took."""
        self._context.close()
        self._model.close()

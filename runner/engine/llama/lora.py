"""LoRA adapters: loaded once beside the model, chosen anew for each step that needs others.

llama.cpp applies one set of adapters to a whole step, so ``scheduler.py`` puts only sequences with
the same set into it.
"""

from __future__ import annotations

import ctypes

from runner.engine.llama.binding import llama_cpp
from runner.engine.llama.model import Model
from runner.engine.sequence import Adapters
from runner.errors import WorkerError

#: A ``llama_context``, as the bindings hand it about.
Handle = int


class AdapterSet:
    """Owns the adapters of one model, which frees them with itself; loop thread only."""

    def __init__(self, model: Model, paths: tuple[str, ...]) -> None:
        """Load every adapter.

        Raises:
            WorkerError: llama.cpp refuses one; its reason is in the log.
        """
        self._handles = []
        for number, path in enumerate(paths):
            handle = llama_cpp.llama_adapter_lora_init(model.handle, path.encode())
            if not handle:
                raise WorkerError(
                    f"llama.cpp could not load adapter {number}",
                    hint="it may belong to another model; the reason is in the log: "
                    "corral daemon logs",
                )
            self._handles.append(handle)
        self._used: dict[Handle, Adapters] = {}

    def use(self, context: Handle, adapters: Adapters) -> None:
        """Compute the next steps of ``context`` with ``adapters``, unless it does so already."""
        if self._used.get(context, ()) == adapters:
            return
        n = len(adapters)
        handles = (llama_cpp.llama_adapter_lora_p_ctypes * max(1, n))()
        scales = (ctypes.c_float * max(1, n))()
        for place, (index, scale) in enumerate(adapters):
            handles[place], scales[place] = self._handles[index], scale
        code = llama_cpp.llama_set_adapters_lora(context, handles, n, scales)
        assert code == 0, f"llama_set_adapters_lora returned {code}"
        self._used[context] = adapters

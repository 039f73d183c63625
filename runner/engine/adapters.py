"""Which LoRA adapters a request is computed with.  Pure; ``llama/lora.py`` has the adapters."""

from __future__ import annotations

from runner.engine.sequence import Adapters
from runner.errors import InvalidRequest
from runner.protocol.messages import Generate


def own_adapters(n_adapters: int) -> Adapters:
    """Return what a model has by itself: all of its adapters, at full scale."""
    return tuple((index, 1.0) for index in range(n_adapters))


def adapters_of(request: Generate, n_adapters: int) -> Adapters:
    """Return the adapters of a request; the model's own when it does not say.

    Raises:
        InvalidRequest: The model has no such adapter.
    """
    if request.adapters is None:
        return own_adapters(n_adapters)
    scales: dict[int, float] = {}
    for use in request.adapters:
        if not 0 <= use.id < n_adapters:
            raise InvalidRequest(
                f"lora: there is no adapter {use.id}; the model has {n_adapters}",
                hint="adapters are numbered from 0 in the order of the model's ADAPTER lines",
                param="lora",
            )
        scales[use.id] = use.scale
    return tuple((index, scale) for index, scale in sorted(scales.items()) if scale)

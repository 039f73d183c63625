"""What would make a model fit that does not: in words, best first.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

#: Bits a weight of common quantizations, block scales and the mix of tensors included.
_QUANTS = (
    ("Q8_0", 8.5),
    ("Q6_K", 6.6),
    ("Q5_K_M", 5.7),
    ("Q4_K_M", 4.9),
    ("Q3_K_M", 3.9),
    ("IQ3_XXS", 3.1),
    ("IQ2_M", 2.7),
)
_LEAST_CTX, _STEP = 512, 512
#: Types of the cache that are smaller, the better one first, and bits of those that can be.
_SMALLER = ("q8_0", "q4_0")
_BITS = {"f32": 32, "f16": 16, "bf16": 16, "q8_0": 8, "q5_1": 6, "q5_0": 5, "q4_1": 5, "q4_0": 4}


class Needed(Protocol):
    """Bytes of main memory that the model needs with other settings."""

    def __call__(self, n_ctx: int, kv_type: str = "", n_gpu: int | None = None) -> int: ...


@dataclass(frozen=True, slots=True)
class Ways:
    """What is known of a model that may not fit.

    Attributes:
        needed: What it needs, by its settings.
        n_free: What there is.
        n_ctx: Context that is wanted, in tokens.
        kv_type: Type of its cache.
        n_weights: Bytes of its weights.
        n_params: Its weights.
        n_layers: Layers that could be on an accelerator; 0: there is none.
    """

    needed: Needed
    n_free: int
    n_ctx: int
    kv_type: str
    n_weights: int
    n_params: int
    n_layers: int = 0


def advice(ways: Ways) -> tuple[str, ...]:
    """Return what would make it fit; nothing when it does."""
    if ways.needed(ways.n_ctx) <= ways.n_free:
        return ()
    found = [_context(ways), _cache(ways), _layers(ways), _quantization(ways)]
    return tuple(filter(None, found))


def _context(ways: Ways) -> str:
    low, high = 0, ways.n_ctx // _STEP
    while low < high:
        middle = (low + high + 1) // 2
        if ways.needed(middle * _STEP) <= ways.n_free:
            low = middle
        else:
            high = middle - 1
    n_ctx = low * _STEP
    return f"ask for a context of {n_ctx} tokens or less (num_ctx)" if n_ctx >= _LEAST_CTX else ""


def _cache(ways: Ways) -> str:
    for kind in _SMALLER:
        is_smaller = _BITS[kind] < _BITS.get(ways.kv_type, 16)
        if is_smaller and ways.needed(ways.n_ctx, kv_type=kind) <= ways.n_free:
            return f"use a cache of type {kind} (cache_type_k and cache_type_v)"
    return ""


def _layers(ways: Ways) -> str:
    for n_gpu in range(1, ways.n_layers + 2) if ways.n_layers else ():
        if ways.needed(ways.n_ctx, n_gpu=n_gpu) <= ways.n_free:
            return f"put {n_gpu} layers or more on the accelerator (num_gpu)"
    return ""


def _quantization(ways: Ways) -> str:
    """The best quantization whose weights would leave room, if it is smaller than this one."""
    n_rest = ways.needed(min(ways.n_ctx, _LEAST_CTX * 4)) - ways.n_weights
    n_params = max(1, ways.n_params)
    now = ways.n_weights * 8 / n_params
    for name, bits in _QUANTS:
        if bits < now and n_rest + n_params * bits / 8 <= ways.n_free:
            return f"use a smaller quantization: {name} or below"
    return ""

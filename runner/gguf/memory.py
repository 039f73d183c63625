"""How much memory a model needs, from its header: weights and key/value cache."""

from __future__ import annotations

from collections.abc import Sequence

from runner.gguf.reader import Header


def weights_bytes(header: Header) -> int:
    """Return the bytes of all weights, as they lie in the file and in memory.

    Padding between tensors is left out, and so is what a backend repacks.
    """
    return sum(tensor.n_bytes for tensor in header.tensors)


def kv_cache_bytes(
    n_ctx: int,
    kv_widths: Sequence[tuple[int, int]],
    *,
    k_bits: float = 16,
    v_bits: float = 16,
) -> int:
    """Return the size of the key/value cache in bytes.

    Args:
        n_ctx: Cells in the cache, in tokens, over all sequences together.
        kv_widths: One ``(k, v)`` pair a layer, in elements: ``n_head_kv * head_dim``.  A layer
            without attention (recurrent, or sharing another's cache) is ``(0, 0)``.
        k_bits: Bits an element of K: 16 for f16, 8.5 for q8_0 (34 bytes hold 32), 4.5 for q4_0.
        v_bits: The same for V.

    Returns:
        ``n_ctx * sum(k * k_bits + v * v_bits) / 8``, without the padding a backend adds.

    Raises:
        ValueError: ``n_ctx`` is not positive.

    Source: the K and V tensors that llama.cpp allocates a layer, ``src/llama-kv-cache.cpp``.
    """
    if n_ctx <= 0:
        raise ValueError(f"n_ctx must be positive, not {n_ctx}")
    bits = sum(k * k_bits + v * v_bits for k, v in kv_widths)
    return int(n_ctx * bits / 8)

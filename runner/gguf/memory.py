"""How much memory a model needs, from its header alone: before it is loaded, or downloaded.

Pure, in bytes.  What llama.cpp reports as the sizes of its buffers is within 5 % of what is said
here, for the kinds of models that the tests load; what a machine adds to that is learnt from real
loads by whoever loads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from runner.gguf.keys import Keys
from runner.gguf.layers import Layer, Shape, shape_of
from runner.gguf.reader import Header

#: Bits that a number takes in a cache of a type, block scales included.
KV_BITS = {
    "f32": 32.0,
    "f16": 16.0,
    "bf16": 16.0,
    "q8_0": 8.5,
    "q5_1": 6.0,
    "q5_0": 5.5,
    "q4_1": 5.0,
    "q4_0": 4.5,
}
_PAD = 256  # llama-context.cpp pads n_ctx, llama-kv-cache-iswa.cpp the cells of a window
_F32 = 4
#: Bytes that a token of the vocabulary takes in llama.cpp and beside it, as measured.
_TOKEN_BYTES = 320
#: Positions, indices and the like that a step keeps of each token, in numbers.
_N_INPUTS = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model is to be loaded.

    Attributes:
        n_cells: Cells of the cache, in tokens, over all sequences.
        n_seq_max: Sequences in the cache at once.
        n_batch: Most tokens of a step.
        n_ubatch: Most tokens computed in one go.
        kv_types: Types of keys and values, as ggml names them.
        flash_attention: Whether attention is computed in one pass; ``None``: where it works, which
            is taken for yes.
        n_gpu_layers: Layers on accelerators, from the last one on, the output counting as one;
            negative: all.
        n_cpu_moe: First layers whose experts stay in main memory all the same; negative: all.
        is_whole_window: Whether a layer with a window has a cell for each token, too.
    """

    n_cells: int
    n_seq_max: int = 1
    n_batch: int = 512
    n_ubatch: int = 512
    kv_types: tuple[str, str] = ("f16", "f16")
    flash_attention: bool | None = None
    n_gpu_layers: int = 0
    n_cpu_moe: int = 0
    is_whole_window: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model needs, in bytes; all devices together, but for the last two.

    Attributes:
        n_weights: Its tensors.
        n_kv: Cache of keys and values, and states of sequences.
        n_compute: What a step needs for itself.
        n_output: The numbers that a step gives.
        n_projector: The model's eyes or ears: weights, and what looking takes.
        n_accelerator: What of all this is on accelerators.
        n_weights_accelerator: What of the weights is.
        n_private: What a process grows by in main memory when weights are mapped from their file
            and all steps are full: no file stands behind it, and it is really written.
    """

    n_weights: int
    n_kv: int
    n_compute: int
    n_output: int
    n_projector: int = 0
    n_accelerator: int = 0
    n_weights_accelerator: int = 0
    n_private: int = 0

    @property
    def n_total(self) -> int:
        """All of it."""
        return self.n_weights + self.n_kv + self.n_compute + self.n_output + self.n_projector


def estimate(header: Header, plan: Plan, *, projector: Header | None = None) -> Estimate:
    """Return what a model needs.

    Args:
        header: Of the model; of a model in several files ``metadata.join_shards`` makes one.
        plan: How it is to be loaded.
        projector: The header of its projector, if it has one.

    Raises:
        BadModelFile: A key of a header has a value of the wrong type or out of range.
        ValueError: The plan has no cells, or names a type that no cache can have.
    """
    return estimate_shape(
        shape_of(header), plan, n_projector=projector_bytes(projector) if projector else 0
    )


def estimate_shape(shape: Shape, plan: Plan, *, n_projector: int = 0) -> Estimate:
    """Return what a model of this shape needs; see ``estimate``."""
    if plan.n_cells <= 0:
        raise ValueError(f"n_cells must be positive, not {plan.n_cells}")
    for kind in plan.kv_types:
        if kind not in KV_BITS:
            raise ValueError(f"'{kind}' is no type of a cache; want one of {', '.join(KV_BITS)}")
    plan = replace(plan, n_cells=_padded(plan.n_cells))
    n_layer = len(shape.layers)
    n_gpu = n_layer + 1 if plan.n_gpu_layers < 0 else min(plan.n_gpu_layers, n_layer + 1)
    # llama-model.cpp: from this layer on, the one after the last being the output.
    first_gpu = n_layer + 1 - n_gpu
    kept = [_kept(layer, shape, plan) for layer in shape.layers]
    n_compute = _compute_bytes(shape, plan)
    n_weights_gpu = _layers_bytes(shape, plan, first_gpu, n_layer)
    if n_gpu:
        n_weights_gpu += _output_bytes(shape)
    n_weights = shape.n_weights
    if n_gpu and not _has_output(shape):
        n_weights += shape.n_input
    n_output = plan.n_seq_max * shape.n_vocab * _F32
    n_private = sum(kept[:first_gpu]) + n_output + shape.n_vocab * _TOKEN_BYTES
    if not n_gpu:
        n_private += _touched(shape, plan)
    return Estimate(
        n_weights=n_weights,
        n_kv=sum(kept),
        n_compute=n_compute,
        n_output=n_output,
        n_projector=n_projector,
        n_accelerator=n_weights_gpu + sum(kept[first_gpu:]) + (n_compute if n_gpu else 0),
        n_weights_accelerator=n_weights_gpu,
        n_private=n_private,
    )


def device_bytes(shape: Shape, plan: Plan, counts: Sequence[int]) -> list[int]:
    """Return what a model takes of each accelerator, in bytes.

    Args:
        shape: The model.
        plan: How it is to be loaded; its ``n_gpu_layers`` is not looked at.
        counts: Layers of each, in the order in which the layers follow each other up to the output,
            which counts as one.
    """
    plan = replace(plan, n_cells=_padded(plan.n_cells))
    n_layer = len(shape.layers)
    start = n_layer + 1 - sum(counts)
    found = []
    for n in counts:
        n_bytes = _layers_bytes(shape, plan, start, start + n)
        n_bytes += sum(_kept(layer, shape, plan) for layer in shape.layers[start : start + n])
        start += n
        if n and start > n_layer:
            n_bytes += _output_bytes(shape) + _compute_bytes(shape, plan)
        elif n:
            n_bytes += _F32 * _within(shape, plan, _step(plan)[1])
        found.append(n_bytes)
    return found


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


def projector_bytes(header: Header) -> int:
    """Return what a projector needs: its weights, and the widest moment of looking at a picture.

    Source: ``tools/mtmd/clip.cpp``: one score a pair of patches and head, two rows of the inner
    width a patch.
    """
    keys = Keys(header.metadata)
    side = keys.integer("clip.vision.image_size")
    patch = keys.integer("clip.vision.patch_size") or 1
    n_patches = (side // patch) ** 2
    n_head = keys.integer("clip.vision.attention.head_count")
    n_embd = keys.integer("clip.vision.embedding_length")
    n_ff = keys.integer("clip.vision.feed_forward_length")
    return weights_bytes(header) + _F32 * n_patches * (n_patches * n_head + 2 * n_ff + 4 * n_embd)


def _layers_bytes(shape: Shape, plan: Plan, start: int, stop: int) -> int:
    """Weights of layers that are on accelerators, without the experts that are not."""
    n_kept_back = len(shape.layers) if plan.n_cpu_moe < 0 else plan.n_cpu_moe
    return sum(
        layer.n_weights - (layer.n_experts if number < n_kept_back else 0)
        for number, layer in enumerate(shape.layers[start:stop], start)
    )


def _has_output(shape: Shape) -> bool:
    """Whether the file has a matrix for the output; its last norm alone is a row of numbers."""
    return shape.n_output > _F32 * 4 * shape.n_embd


def _output_bytes(shape: Shape) -> int:
    """What lies beside the output; without one of its own a model's input is there once more."""
    return shape.n_output + (0 if _has_output(shape) else shape.n_input)


def _padded(n: int) -> int:
    return -(-n // _PAD) * _PAD


def _cells(layer: Layer, shape: Shape, plan: Plan) -> int:
    """Cells that a layer has; source: ``src/llama-kv-cache-iswa.cpp``."""
    if not layer.has_window or plan.is_whole_window:
        return plan.n_cells
    n_seen = shape.n_window * plan.n_seq_max + min(plan.n_batch, plan.n_ubatch)
    return _padded(min(plan.n_cells, n_seen))


def _kept(layer: Layer, shape: Shape, plan: Plan) -> int:
    """What a layer keeps: its part of the cache, and a state for each sequence."""
    if not shape.has_memory:
        return 0
    k_bits, v_bits = (KV_BITS[kind] for kind in plan.kv_types)
    widths = [(layer.k_width, layer.v_width)]
    n_cache = kv_cache_bytes(_cells(layer, shape, plan), widths, k_bits=k_bits, v_bits=v_bits)
    return n_cache + plan.n_seq_max * layer.n_state * _F32


def _compute_bytes(shape: Shape, plan: Plan) -> int:
    """The widest moment of a step: inside a layer, or the numbers at its end.

    Sums of what is alive at each of these moments; checked against the buffer that llama.cpp's
    allocator asks for.
    """
    n_outputs, n_tokens = _step(plan)
    within = _within(shape, plan, n_tokens)
    if not shape.has_memory:  # vectors are its answer
        return _F32 * within
    is_packed = any(kind.startswith("q") for kind in plan.kv_types)
    last = (3 if is_packed else 2) * shape.n_embd + _N_INPUTS
    return _F32 * max(within, n_outputs * shape.n_vocab + n_tokens * last)


def _step(plan: Plan) -> tuple[int, int]:
    """Rows with an answer of the largest step, and its tokens."""
    n_outputs = min(plan.n_cells, plan.n_batch, plan.n_ubatch)
    # llama-context.cpp: a step has as many tokens of each sequence.
    return n_outputs, -(-n_outputs // plan.n_seq_max) * plan.n_seq_max


def _touched(shape: Shape, plan: Plan) -> int:
    """What of the step's buffer is ever written: only sequences have an answer, not all tokens."""
    n_outputs, n_tokens = _step(plan)
    n_logits = min(n_outputs, plan.n_seq_max) * shape.n_vocab
    return _F32 * max(_within(shape, plan, n_tokens), n_logits)


def _within(shape: Shape, plan: Plan, n_tokens: int) -> int:
    """Numbers alive at the widest moment inside a layer, masks included."""
    uses_flash = plan.flash_attention is not False
    # A mask for each kind of layer, of 16 bits where attention is one pass, else of 32.
    seen = {
        layer.has_window: _cells(layer, shape, plan) if shape.has_memory else n_tokens
        for layer in shape.layers
        if layer.k_width
    }
    masks = sum(seen.values()) * (0.5 if uses_flash else 1.0)
    between = (4.5 if shape.norms_output else 4.0) * shape.n_embd
    widest = n_tokens * (shape.ff_width + between)
    if seen and (shape.has_memory or not uses_flash):
        widest = max(widest, _attention(shape, plan, n_tokens, max(seen.values())))
    if shape.inner_width:
        n_states = plan.n_seq_max * max(layer.n_state for layer in shape.layers)
        mixed = n_tokens * (6 * shape.inner_width + 1.5 * shape.n_embd)
        widest = max(widest, mixed) + n_states
    return int(widest + n_tokens * (masks + _N_INPUTS))


def _attention(shape: Shape, plan: Plan, n_tokens: int, n_seen: int) -> float:
    """Numbers alive during attention, masks apart."""
    if plan.flash_attention is False:  # a score for each token, cell and head
        return n_tokens * (n_seen * shape.n_head + 6 * max(shape.n_embd, shape.q_width))
    most_kv = max(layer.k_width + layer.v_width for layer in shape.layers)
    # One pass wants halves: what is seen is copied where it is wider.
    n_copied = n_seen * most_kv / 2 if "f32" in plan.kv_types else 0
    return n_tokens * (2 * shape.n_embd + 2 * shape.q_width + most_kv) + n_copied

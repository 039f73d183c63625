"""What each layer of a model keeps and computes, from its header: the numbers memory depends on.

Pure.  How they become bytes is for ``memory.py``.

Source of the rules: ``load_arch_hparams`` in llama.cpp's ``src/models/``, ``create_memory`` in
``src/llama-model.cpp``, ``n_embd_r`` and ``n_embd_s`` in ``src/llama-hparams.cpp``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from runner.gguf.keys import Keys
from runner.gguf.reader import Header

_MAX_LAYERS = 512  # llama-hparams.h: LLAMA_MAX_LAYERS

#: Of each group of so many layers the last one sees everything and the others a window, where the
#: file itself does not say which.  Negative: the first one sees everything.
_PATTERNS = {
    "afmoe": 4,
    "cohere2": 4,
    "cohere2moe": -4,
    "exaone-moe": 4,
    "exaone4": 4,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "laguna": -4,
    "llama4": 4,
    "mellum": 4,
    "muse-glimmer": 4,
    "olmo2": 4,
    "plamo3": 8,
    "smallthinker": -4,
}
#: Windows that llama.cpp takes whatever the file says, and where the file says nothing.
_FIXED_WINDOWS = {"llama4": 8192, "smallthinker": 4096}
_DEFAULT_WINDOWS = {"gemma2": 4096, "exaone-moe": 128}

#: Architectures all of whose layers keep a state that every token changes, and no cache.
_RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
#: Those that have such layers beside layers with attention.
_HYBRID = frozenset(
    {
        "bailingmoe3",
        "falcon-h1",
        "glm5-next",
        "granitehybrid",
        "jamba",
        "kimi-k3",
        "kimi-linear",
        "lfm2",
        "lfm2moe",
        "minimax-01",
        "nemotron_h",
        "nemotron_h_moe",
        "plamo2",
        "qwen35",
        "qwen35moe",
        "qwen3next",
        "qwen4exp",
    }
)
#: Those that read a text in one go, and keep nothing of it.
_WITHOUT_MEMORY = frozenset(
    {
        "bert",
        "dream",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llada",
        "llada-moe",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "rnd1",
    }
)

_BLOCK = re.compile(r"blk\.(\d+)\.")
_EXPERTS = re.compile(r"\.ffn_(gate|up|down|gate_up)_exps\.")


@dataclass(frozen=True, slots=True)
class Layer:
    """One block.

    Attributes:
        k_width: Numbers it keeps of a token as key, those of an indexer included; 0: none.
        v_width: The same as value.
        has_window: Whether it keeps only the last tokens of each sequence.
        n_state: Numbers it keeps of a sequence, however long that is.
        n_weights: Bytes of its tensors, of experts those of all.
        n_experts: Of them, bytes of experts.
    """

    k_width: int
    v_width: int
    has_window: bool
    n_state: int
    n_weights: int
    n_experts: int


@dataclass(frozen=True, slots=True)
class Shape:
    """A model as memory sees it; widths in numbers.

    Attributes:
        layers: All blocks, in order.
        n_window: Tokens that a layer with a window sees.
        n_input: Bytes of the tensors before the first block.
        n_output: Bytes of those after the last one.
        n_vocab: Tokens it knows: logits of a row.
        n_embd: Width between the blocks.
        n_head: Heads of the widest layer.
        q_width: Width of a layer's queries.
        ff_width: What a token takes in the widest feed-forward part, experts in use included.
        inner_width: Width inside a layer that keeps a state; 0: there is none.
        norms_output: Whether a block norms what comes out of it once more.
        has_memory: Whether a cache is made at all.
        n_ctx_train: Context it was trained for, in tokens; 0: unknown.
    """

    layers: tuple[Layer, ...]
    n_window: int
    n_input: int
    n_output: int
    n_vocab: int
    n_embd: int
    n_head: int
    q_width: int
    ff_width: int
    inner_width: int
    norms_output: bool
    has_memory: bool
    n_ctx_train: int

    @property
    def n_weights(self) -> int:
        """Bytes of all tensors."""
        return self.n_input + self.n_output + sum(layer.n_weights for layer in self.layers)


def shape_of(header: Header) -> Shape:
    """Return what memory depends on.

    Raises:
        BadModelFile: A key has a value of the wrong type or out of range; the message names it.
    """
    keys = Keys(header.metadata)
    name = keys.text("general.architecture")
    n_layer = keys.integer(f"{name}.block_count", high=_MAX_LAYERS)
    n_embd = keys.integer(f"{name}.embedding_length")
    heads = keys.integers(f"{name}.attention.head_count", n_layer, 0)
    window, windows = _windows(keys, name, n_layer)
    weights, experts, n_input, n_output = _weights(header, n_layer)
    states, inner_width = _states(keys, name, n_layer)
    kept = kv_widths(keys, name, n_layer)
    indexer = keys.integer(f"{name}.attention.indexer.key_length")
    head_width = _head_width(keys, name, n_embd, heads)
    return Shape(
        layers=tuple(
            Layer(
                k_width=k + (indexer if k else 0),
                v_width=v,
                has_window=windows[number],
                n_state=states[number],
                n_weights=weights[number],
                n_experts=experts[number],
            )
            for number, (k, v) in enumerate(kept)
        ),
        n_window=window,
        n_input=n_input,
        n_output=n_output,
        n_vocab=keys.length("tokenizer.ggml.tokens") or keys.integer(f"{name}.vocab_size"),
        n_embd=n_embd,
        n_head=max(heads, default=0),
        q_width=max(heads, default=0) * head_width,
        ff_width=_ff_width(header, keys, name, n_layer),
        inner_width=inner_width,
        norms_output=any(".post_ffw_norm." in tensor.name for tensor in header.tensors),
        has_memory=name not in _WITHOUT_MEMORY,
        n_ctx_train=keys.integer(f"{name}.context_length"),
    )


def kv_widths(keys: Keys, name: str, n_layer: int) -> tuple[tuple[int, int], ...]:
    """Return what each layer keeps of a token: ``(k, v)`` in numbers.

    As ``llama_hparams`` computes them from the keys; ``src/llama-kv-cache.cpp`` allocates them.
    """
    attention = f"{name}.attention"
    n_head = keys.integers(f"{attention}.head_count", n_layer, 0)
    if not n_layer or not any(n_head) or name in _RECURRENT:
        return ((0, 0),) * n_layer
    n_head_kv = list(n_head)
    if f"{attention}.head_count_kv" in keys:
        n_head_kv = list(keys.integers(f"{attention}.head_count_kv", n_layer, 0))
    head = _head_width(keys, name, keys.integer(f"{name}.embedding_length"), n_head)
    v_head = keys.integer(f"{name}.embedding_length") // (n_head[0] or max(n_head))
    v_full = keys.integer(f"{attention}.value_length", default=v_head)
    k_window = keys.integer(f"{attention}.key_length_swa", default=head)
    v_window = keys.integer(f"{attention}.value_length_swa", default=v_full)
    if keys.integer(f"{attention}.key_length_mla"):
        v_full = v_window = 0  # latent attention keeps K alone, and reads V out of it
    _, windows = _windows(keys, name, n_layer)
    skipped = _without_cache(keys, name, n_layer)
    return tuple(
        (0, 0)
        if skip
        else (n * (k_window if has_window else head), n * (v_window if has_window else v_full))
        for n, has_window, skip in zip(n_head_kv, windows, skipped, strict=True)
    )


def _head_width(keys: Keys, name: str, n_embd: int, n_head: tuple[int, ...]) -> int:
    if not any(n_head):
        return 0
    return keys.integer(
        f"{name}.attention.key_length", default=n_embd // (n_head[0] or max(n_head))
    )


def _windows(keys: Keys, name: str, n_layer: int) -> tuple[int, tuple[bool, ...]]:
    """The window in tokens, and which layers have it."""
    key = f"{name}.attention.sliding_window"
    nothing = (0, (False,) * n_layer)
    told = keys.integer(key, default=_DEFAULT_WINDOWS.get(name, 0))
    window = (_FIXED_WINDOWS.get(name, told) if told else 0) or _unsaid(keys, name, key)
    if not window or (name == "exaone4" and n_layer != 64):
        return nothing
    if name == "lfm2":
        return window, (True,) * n_layer
    flags = keys.flags(f"{key}_pattern", n_layer)
    if flags is not None:
        return window, flags
    period = _PATTERNS.get(name, 0)
    if not period:  # the engine takes no notice of the window of other architectures
        return nothing
    if f"{key}_pattern" in keys:
        period = keys.integer(f"{key}_pattern") * (1 if period > 0 else -1)
    if not period:
        return window, (True,) * n_layer
    whole = 0 if period < 0 else period - 1
    return window, tuple(layer % abs(period) != whole for layer in range(n_layer))


def _unsaid(keys: Keys, name: str, key: str) -> int:
    """The window of an architecture that has one unless its file says 0."""
    return 0 if key in keys or name == "smallthinker" else _FIXED_WINDOWS.get(name, 0)


def _without_cache(keys: Keys, name: str, n_layer: int) -> list[bool]:
    """Which layers are recurrent, or use the cache of an earlier one."""
    skipped = [
        is_recurrent and name != "falcon-h1" for is_recurrent in _recurrent(keys, name, n_layer)
    ]
    n_shared = min(keys.integer(f"{name}.attention.shared_kv_layers"), n_layer)
    if name == "gemma3n":  # the engine's own constant
        n_shared = max(0, n_layer - 20)
    return skipped[: n_layer - n_shared] + [True] * n_shared


def _recurrent(keys: Keys, name: str, n_layer: int) -> list[bool]:
    """Which layers keep a state."""
    flags = keys.flags(f"{name}.attention.recurrent_layers", n_layer)
    if flags is not None:
        return list(flags)
    interval = keys.integer(f"{name}.full_attention_interval")
    if interval:
        return [(layer + 1) % interval != 0 for layer in range(n_layer)]
    if name in _RECURRENT or name == "falcon-h1":
        return [True] * n_layer
    if name not in _HYBRID:
        return [False] * n_layer
    heads = keys.integers(f"{name}.attention.head_count_kv", n_layer, 0)
    wide = keys.integers(f"{name}.feed_forward_length", n_layer, 0)
    only_mixes = name.startswith("nemotron_h")
    return [not n and not (only_mixes and ff) for n, ff in zip(heads, wide, strict=True)]


def _states(keys: Keys, name: str, n_layer: int) -> tuple[list[int], int]:
    """Numbers that each layer keeps of a sequence, and the width inside such a layer."""
    which = _recurrent(keys, name, n_layer)
    if not any(which):
        return [0] * n_layer, 0
    n_embd = keys.integer(f"{name}.embedding_length")
    n_head = max(keys.integers(f"{name}.attention.head_count", n_layer, 0), default=0)
    kernel = max(0, keys.integer(f"{name}.ssm.conv_kernel") - 1)
    if head := keys.integer(f"{name}.wkv.head_size"):
        shifts = keys.integer(f"{name}.token_shift_count", default=2)
        n_state, inner = shifts * n_embd + n_embd * head, 2 * n_embd
    elif taps := keys.integer(f"{name}.shortconv.l_cache"):
        n_state, inner = n_embd * (taps - 1), n_embd
    elif head := keys.integer(f"{name}.kda.head_dim"):
        inner = n_head * head
        n_state = 3 * (kernel or 3) * inner + head * inner
    else:
        inner = keys.integer(f"{name}.ssm.inner_size")
        size = keys.integer(f"{name}.ssm.state_size")
        groups = keys.integer(f"{name}.ssm.group_count")
        n_state = kernel * (inner + 2 * groups * size) + size * inner
    return [n_state if has_state else 0 for has_state in which], inner


def _ff_width(header: Header, keys: Keys, name: str, n_layer: int) -> int:
    """What one token takes between the two halves of the widest feed-forward part."""
    wide = max(keys.integers(f"{name}.feed_forward_length", n_layer, 0), default=0)
    has_gate = any(
        ".ffn_gate" in tensor.name or ".ffn_up_gate" in tensor.name for tensor in header.tensors
    )
    n_used = max(keys.integers(f"{name}.expert_used_count", n_layer, 0), default=0)
    if not n_used:
        return (2 if has_gate else 1) * wide
    expert = keys.integer(f"{name}.expert_feed_forward_length", default=wide)
    n_experts = keys.integer(f"{name}.expert_count")
    n_embd = keys.integer(f"{name}.embedding_length")
    return n_used * (2 * expert + n_embd) + 2 * n_experts


def _weights(header: Header, n_layer: int) -> tuple[list[int], list[int], int, int]:
    """Bytes of each block, of its experts, before the first block, and after the last one."""
    blocks, experts = [0] * n_layer, [0] * n_layer
    n_input = n_output = 0
    for tensor in header.tensors:
        found = _BLOCK.match(tensor.name)
        if found and int(found[1]) < n_layer:
            blocks[int(found[1])] += tensor.n_bytes
            if _EXPERTS.search(tensor.name):
                experts[int(found[1])] += tensor.n_bytes
        elif tensor.name.startswith("output"):
            n_output += tensor.n_bytes
        else:
            n_input += tensor.n_bytes
    return blocks, experts, n_input, n_output

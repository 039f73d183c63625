"""Decoders that write text: Llama with SmolLM, Qwen 2 and Qwen 3.

They share one skeleton: which tensors a block has is told by ``_Kind``.  Source of names and keys:
``conversion/llama.py``, ``conversion/qwen.py`` and ``src/llama-arch.cpp`` of llama.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import gguf
import numpy as np

from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.tools.convert.architecture import TensorPlan
from runner.tools.convert.bpe import read_bpe
from runner.tools.convert.folder import Array, ModelFolder

#: Modules of one block, theirs and ours; widths: ``e`` the embedding's, ``f`` the inner, ``q`` and
#: ``k`` of all heads together.
BLOCK = (
    ("self_attn.q_proj", "attn_q", "qe"),
    ("self_attn.k_proj", "attn_k", "ke"),
    ("self_attn.v_proj", "attn_v", "ke"),
    ("self_attn.o_proj", "attn_output", "eq"),
    ("mlp.gate_proj", "ffn_gate", "fe"),
    ("mlp.up_proj", "ffn_up", "fe"),
    ("mlp.down_proj", "ffn_down", "ef"),
)
_NORMS = (("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm"))
_ROPE_BASE = 10000.0


class Decoder:
    """What the kinds below share; abstract."""

    name: ClassVar[str]
    #: Whether queries and keys have norms of their own, a head's width each.
    has_head_norms: ClassVar[bool] = False
    #: Whether rotary positions turn halves where llama.cpp turns neighbours.
    turns_halves: ClassVar[bool] = False

    def __init__(self, folder: ModelFolder) -> None:
        """Read the sizes and the vocabulary.

        Raises:
            BadModelFile: Something is missing or damaged.
            UnsupportedArchitecture: It has a part that is not known here.
        """
        self._folder = folder
        self._n_embd = folder.integer("hidden_size")
        self._n_inner = folder.integer("intermediate_size")
        self._n_layer = folder.integer("num_hidden_layers")
        self._n_head = folder.integer("num_attention_heads")
        self._n_head_kv = folder.integer("num_key_value_heads", self._n_head)
        self._n_ctx = folder.integer("max_position_embeddings")
        self._n_vocab = folder.integer("vocab_size")
        if self._n_head % self._n_head_kv:
            raise BadModelFile(f"{self._n_head} heads for {self._n_head_kv} of keys in config.json")
        self._has_head_dim = folder.config.get("head_dim") is not None
        if not self._has_head_dim and self._n_embd % self._n_head:
            raise BadModelFile(f"{self._n_embd} elements for {self._n_head} heads in config.json")
        width = folder.integer("head_dim", self._n_embd // self._n_head)
        self._n_head_dim = width
        if folder.config.get("hidden_act", "silu") != "silu":
            raise UnsupportedArchitecture(
                f"'hidden_act' is {folder.config['hidden_act']!r}; llama.cpp computes only 'silu'",
                hint="look for a GGUF build of this model",
            )
        self._rope = _rope_of(folder)
        self._prefix = "model." if any(t.startswith("model.") for t in folder.tensors) else ""
        self._vocabulary = read_bpe(folder)

    def write_metadata(self, writer: gguf.GGUFWriter) -> None:
        """Add sizes, positions and vocabulary."""
        config = self._folder.config
        writer.add_context_length(self._n_ctx)
        writer.add_embedding_length(self._n_embd)
        writer.add_block_count(self._n_layer)
        writer.add_feed_forward_length(self._n_inner)
        writer.add_head_count(self._n_head)
        writer.add_head_count_kv(self._n_head_kv)
        if self._has_head_dim:
            writer.add_key_length(self._n_head_dim)
            writer.add_value_length(self._n_head_dim)
        writer.add_layer_norm_rms_eps(float(config.get("rms_norm_eps", 1e-6)))
        writer.add_vocab_size(self._n_vocab)
        writer.add_rope_dimension_count(self._n_head_dim)
        writer.add_rope_freq_base(float(self._rope.get("rope_theta", _ROPE_BASE)))
        kind = self._rope.get("rope_type")
        if kind in ("linear", "yarn"):
            scaling = gguf.RopeScalingType.LINEAR if kind == "linear" else gguf.RopeScalingType.YARN
            writer.add_rope_scaling_type(scaling)
            writer.add_rope_scaling_factor(float(self._rope["factor"]))
        if kind == "yarn":
            n_trained = self._rope.get("original_max_position_embeddings", self._n_ctx)
            writer.add_rope_scaling_orig_ctx_len(int(n_trained))
        self._vocabulary.write(writer, self._n_vocab)

    def tensors(self) -> Iterator[TensorPlan]:
        """Yield embeddings, blocks and head."""
        at, n_embd = self._prefix, self._n_embd
        yield TensorPlan(f"{at}embed_tokens.weight", "token_embd.weight", (self._n_vocab, n_embd))
        if self._rope.get("rope_type") == "llama3":
            yield TensorPlan(
                "",
                "rope_freqs.weight",
                (self._n_head_dim // 2,),
                made=_llama3_factors(self._rope, self._n_head_dim),
            )
        for layer in range(self._n_layer):
            yield from self._block(f"{at}layers.{layer}.", f"blk.{layer}.")
        yield TensorPlan(f"{at}norm.weight", "output_norm.weight", (n_embd,))
        is_tied = self._folder.config.get("tie_word_embeddings")
        is_there = "lm_head.weight" in self._folder.tensors
        if is_tied is False or (is_there and not is_tied):
            yield TensorPlan("lm_head.weight", "output.weight", (self._n_vocab, n_embd))

    def _block(self, theirs: str, ours: str) -> Iterator[TensorPlan]:
        n_q, n_k = self._n_head * self._n_head_dim, self._n_head_kv * self._n_head_dim
        widths = {"e": self._n_embd, "f": self._n_inner, "q": n_q, "k": n_k}
        for source, target in _NORMS:
            yield TensorPlan(f"{theirs}{source}.weight", f"{ours}{target}.weight", (self._n_embd,))
        for source, target, letters in BLOCK:
            shape = tuple(widths[letter] for letter in letters)
            n_heads = {"attn_q": self._n_head, "attn_k": self._n_head_kv}.get(target, 0)
            turned = n_heads if self.turns_halves else 0
            for part, size in (("weight", shape), ("bias", shape[:1])):
                name = f"{theirs}{source}.{part}"
                if part == "weight" or name in self._folder.tensors:
                    yield TensorPlan(name, f"{ours}{target}.{part}", size, n_turned_heads=turned)
        if self.has_head_norms:
            for part in "qk":
                yield TensorPlan(
                    f"{theirs}self_attn.{part}_norm.weight",
                    f"{ours}attn_{part}_norm.weight",
                    (self._n_head_dim,),
                )


class Llama(Decoder):
    """``LlamaForCausalLM``: Llama, SmolLM, TinyLlama."""

    name = "llama"
    turns_halves = True


class Qwen2(Decoder):
    """``Qwen2ForCausalLM``."""

    name = "qwen2"


class Qwen3(Decoder):
    """``Qwen3ForCausalLM``."""

    name = "qwen3"
    has_head_norms = True


def _rope_of(folder: ModelFolder) -> dict[str, Any]:
    """Return how positions turn, older and newer spellings alike.

    Raises:
        UnsupportedArchitecture: In a way that is not known here.
    """
    config = folder.config
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(found, dict):
        raise BadModelFile("'rope_scaling' in config.json must be an object")
    rope = {"rope_theta": config.get("rope_theta", _ROPE_BASE), **found}
    rope["rope_type"] = rope.get("rope_type", rope.get("type", "default"))
    if rope["rope_type"] not in ("default", "linear", "llama3", "yarn"):
        raise UnsupportedArchitecture(
            f"its positions are scaled in the way {rope['rope_type']!r}, which is not known here",
            hint="look for a GGUF build of this model",
        )
    needed = ("factor",) if rope["rope_type"] != "default" else ()
    for key in ("rope_theta", *needed):
        value = rope.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise BadModelFile(f"'{key}' in config.json must be a positive number, not {value!r}")
    return rope


def _llama3_factors(rope: dict[str, Any], n_dim: int) -> Array:
    """Return what each frequency is divided by.

    Source: ``_compute_llama3_parameters`` in ``modeling_rope_utils.py`` of transformers.
    """
    factor = float(rope["factor"])
    low, high = float(rope.get("low_freq_factor", 1)), float(rope.get("high_freq_factor", 4))
    n_trained = float(rope.get("original_max_position_embeddings", 8192))
    if high <= low:
        raise BadModelFile(f"'high_freq_factor' {high:g} must be above 'low_freq_factor' {low:g}")
    factors = []
    for place in range(0, n_dim, 2):
        length = 2 * math.pi * float(rope["rope_theta"]) ** (place / n_dim)
        if length < n_trained / high:
            factors.append(1.0)
        elif length > n_trained / low:
            factors.append(factor)
        else:
            smooth = (n_trained / length - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, np.float32)

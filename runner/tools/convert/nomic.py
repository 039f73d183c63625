"""NomicBert: a BERT whose positions turn queries and keys, and whose inner layer has a gate.

Folders are in one of two spellings: that of the model's authors, and that of ``transformers``.
Source of names and keys: ``conversion/bert.py`` and ``src/models/nomic-bert.cpp`` of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gguf

from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.tools.convert.architecture import TensorPlan
from runner.tools.convert.bert import is_unused
from runner.tools.convert.folder import ModelFolder
from runner.tools.convert.pooling import pooling_of
from runner.tools.convert.wordpiece import read_wordpiece

#: The modules of one block, theirs and ours; widths: ``e`` the embedding's, ``f`` the inner, ``q``
#: of queries, keys and values together; a single letter: a norm, which has a bias.
_BLOCK = (
    ("attn.Wqkv", "attn_qkv", "qe"),
    ("attn.out_proj", "attn_output", "ee"),
    ("norm1", "attn_output_norm", "e"),
    ("mlp.fc11", "ffn_up", "fe"),
    ("mlp.fc12", "ffn_gate", "fe"),
    ("mlp.fc2", "ffn_down", "ef"),
    ("norm2", "layer_output_norm", "e"),
)
#: The same as ``transformers`` spells it.
_BLOCK_ANEW = (
    ("self_attn.q_proj", "attn_q", "ee"),
    ("self_attn.k_proj", "attn_k", "ee"),
    ("self_attn.v_proj", "attn_v", "ee"),
    ("self_attn.o_proj", "attn_output", "ee"),
    ("post_attention_layernorm", "attn_output_norm", "e"),
    ("mlp.up_proj", "ffn_up", "fe"),
    ("mlp.gate_proj", "ffn_gate", "fe"),
    ("mlp.down_proj", "ffn_down", "ef"),
    ("post_mlp_layernorm", "layer_output_norm", "e"),
)
#: Settings that llama.cpp knows one value of.
_FIXED: dict[str, Any] = {
    "activation_function": "swiglu",
    "hidden_act": "silu",
    "causal": False,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "moe_every_n_layers": 0,
    "parallel_block": False,
    "prenorm": False,
    "qkv_proj_bias": False,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "scale_attn_by_inverse_layer_idx": False,
    "use_rms_norm": False,
}
#: Tokens that the first ones were trained with, whatever they have positions for.
_N_TRAINED = 2048
_BASE = 1000.0


class NomicBert:
    """``NomicBertModel``: the embedding models of Nomic, without experts."""

    name = "nomic-bert"

    def __init__(self, folder: ModelFolder) -> None:
        """Read the sizes and the vocabulary.

        Raises:
            BadModelFile: Something is missing or damaged.
            UnsupportedArchitecture: It has a part that llama.cpp does not compute.
        """
        self._folder = folder
        for key, known in _FIXED.items():
            if folder.config.get(key, known) not in (known, None):
                raise UnsupportedArchitecture(
                    f"'{key}' is {folder.config[key]!r}; llama.cpp computes only {known!r}",
                    hint="look for a GGUF build of this model",
                )
        self._n_embd = self._size("n_embd", "hidden_size")
        self._n_inner = self._size("n_inner", "intermediate_size")
        self._n_layer = self._size("n_layer", "num_hidden_layers")
        self._n_head = self._size("n_head", "num_attention_heads")
        self._n_ctx = min(
            self._size("n_positions", "max_position_embeddings"),
            folder.integer("max_trained_positions", _N_TRAINED),
        )
        self._n_vocab = folder.integer("vocab_size")
        self._n_types = folder.integer("type_vocab_size", 2)
        if self._n_embd % self._n_head:
            raise BadModelFile(f"{self._n_embd} elements for {self._n_head} heads in config.json")
        n_head_dim = self._n_embd // self._n_head
        if folder.integer("head_dim", n_head_dim) != n_head_dim:
            raise BadModelFile(
                f"'head_dim' is {folder.config['head_dim']}; llama.cpp computes only {n_head_dim}"
            )
        self._is_anew = "embeddings.LayerNorm.weight" in folder.tensors
        self._vocabulary = read_wordpiece(folder)

    def write_metadata(self, writer: gguf.GGUFWriter) -> None:
        """Add sizes, positions, pooling and vocabulary."""
        config = self._folder.config
        writer.add_context_length(self._n_ctx)
        writer.add_embedding_length(self._n_embd)
        writer.add_feed_forward_length(self._n_inner)
        writer.add_block_count(self._n_layer)
        writer.add_head_count(self._n_head)
        epsilon = config.get("layer_norm_epsilon", config.get("layer_norm_eps", 1e-12))
        writer.add_layer_norm_eps(float(epsilon))
        writer.add_rope_freq_base(self._base())
        writer.add_causal_attention(False)
        writer.add_pooling_type(pooling_of(self._folder) or gguf.PoolingType.MEAN)
        writer.add_token_type_count(self._n_types)
        self._vocabulary.write(writer, self._n_vocab)

    def tensors(self) -> Iterator[TensorPlan]:
        """Yield embeddings and blocks."""
        n_embd = self._n_embd
        yield TensorPlan(
            "embeddings.word_embeddings.weight", "token_embd.weight", (self._n_vocab, n_embd)
        )
        yield TensorPlan(
            "embeddings.token_type_embeddings.weight",
            "token_types.weight",
            (self._n_types, n_embd),
            is_exact=True,
        )
        norm = "embeddings.LayerNorm" if self._is_anew else "emb_ln"
        yield from _norm(norm, "token_embd_norm", n_embd)
        widths = {"e": n_embd, "f": self._n_inner, "q": 3 * n_embd}
        stem = "layers" if self._is_anew else "encoder.layers"
        for layer in range(self._n_layer):
            for theirs, ours, letters in _BLOCK_ANEW if self._is_anew else _BLOCK:
                source, target = f"{stem}.{layer}.{theirs}", f"blk.{layer}.{ours}"
                if len(letters) == 1:
                    yield from _norm(source, target, n_embd)
                else:
                    shape = (widths[letters[0]], widths[letters[1]])
                    yield TensorPlan(f"{source}.weight", f"{target}.weight", shape)

    def ignores(self, tensor: str) -> bool:
        """Whether a tensor is of no use for vectors."""
        return is_unused(tensor)

    def _size(self, old: str, new: str) -> int:
        """A size, in one of its two spellings."""
        return self._folder.integer(old if old in self._folder.config else new)

    def _base(self) -> float:
        """What the frequencies of positions are powers of.

        Raises:
            BadModelFile: It is no positive number.
            UnsupportedArchitecture: Positions are scaled.
        """
        config = self._folder.config
        rope = config.get("rope_parameters")
        rope = rope if isinstance(rope, dict) else {}
        found = rope.get("rope_theta")
        if rope.get("rope_type", "default") != "default":
            raise UnsupportedArchitecture(
                f"its positions are scaled in the way {rope['rope_type']!r}, which is not known"
                " here",
                hint="look for a GGUF build of this model",
            )
        base = found or config.get("rotary_emb_base") or config.get("rope_theta") or _BASE
        if isinstance(base, bool) or not isinstance(base, int | float) or not 0 < base < 1e30:
            raise BadModelFile(f"the base of positions in config.json is {base!r}, which is none")
        return float(base)


def _norm(source: str, target: str, n_embd: int) -> Iterator[TensorPlan]:
    for part in ("weight", "bias"):
        yield TensorPlan(f"{source}.{part}", f"{target}.{part}", (n_embd,))

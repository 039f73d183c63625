"""ModernBERT: an encoder most of whose layers look a window's width around each token.

Source of names and keys: ``conversion/bert.py`` and ``src/models/modern-bert.cpp`` of llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import gguf

from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.tools.convert.architecture import TensorPlan
from runner.tools.convert.bert import labels_of
from runner.tools.convert.folder import ModelFolder
from runner.tools.convert.frame import read_framed_bpe
from runner.tools.convert.pooling import pooling_of

#: The modules of one block, theirs and ours; widths: ``e`` the embedding's, ``f`` the inner; a
#: single letter: a norm.
_BLOCK = (
    ("attn_norm", "attn_norm", "e"),
    ("attn.Wqkv", "attn_qkv", "3e"),
    ("attn.Wo", "attn_output", "ee"),
    ("mlp_norm", "ffn_norm", "e"),
    ("mlp.Wi", "ffn_up", "2e"),
    ("mlp.Wo", "ffn_down", "ef"),
)
#: Settings that llama.cpp knows one value of: it adds no biases, and has one head for scores.
_FIXED: dict[str, Any] = {
    "attention_bias": False,
    "classifier_activation": "gelu",
    "classifier_bias": False,
    "mlp_bias": False,
    "norm_bias": False,
    "position_embedding_type": None,
}
#: Of the table that guesses words, which scores and vectors do not need.
_UNUSED = re.compile(r"decoder\.|head\.")
_FULL, _WINDOW = "full_attention", "sliding_attention"
#: Bases of positions in layers that see everything, and in those that see a window.
_BASES = {_FULL: ("global_rope_theta", 160_000.0), _WINDOW: ("local_rope_theta", 10_000.0)}
_ELSEWHERE = "look for a GGUF build of this model"


class ModernBert:
    """``ModernBertModel``, ``ModernBertForMaskedLM``, ``ModernBertForSequenceClassification``."""

    name = "modern-bert"

    def __init__(self, folder: ModelFolder) -> None:
        """Read the sizes and the vocabulary.

        Raises:
            BadModelFile: Something is missing or damaged.
            UnsupportedArchitecture: It has a part that llama.cpp does not compute.
        """
        self._folder = folder
        self._refuse_unknown({**_FIXED}, folder.config)
        self._n_embd = folder.integer("hidden_size")
        self._n_inner = folder.integer("intermediate_size")
        self._n_layer = folder.integer("num_hidden_layers")
        self._n_head = folder.integer("num_attention_heads")
        self._n_ctx = folder.integer("max_position_embeddings")
        self._n_vocab = folder.integer("vocab_size")
        self._n_window = folder.integer("local_attention", 128)
        if self._n_embd % self._n_head:
            raise BadModelFile(f"{self._n_embd} elements for {self._n_head} heads in config.json")
        self._activation = folder.config.get("hidden_activation", "gelu")
        if self._activation not in ("gelu", "silu"):
            raise UnsupportedArchitecture(
                f"'hidden_activation' is {self._activation!r}; llama.cpp computes 'gelu' and"
                " 'silu'",
                hint=_ELSEWHERE,
            )
        self._period = self._full_every()
        self._is_ranker = "classifier.weight" in folder.tensors
        is_under = any(name.startswith("model.") for name in folder.tensors)
        self._prefix = "model." if is_under else ""
        self._vocabulary = read_framed_bpe(folder)

    def write_metadata(self, writer: gguf.GGUFWriter) -> None:
        """Add sizes, positions, pooling and vocabulary."""
        writer.add_context_length(self._n_ctx)
        writer.add_embedding_length(self._n_embd)
        writer.add_feed_forward_length(self._n_inner)
        writer.add_block_count(self._n_layer)
        writer.add_head_count(self._n_head)
        writer.add_layer_norm_eps(float(self._folder.config.get("norm_eps", 1e-5)))
        writer.add_sliding_window(self._n_window)
        writer.add_sliding_window_pattern(self._period)
        writer.add_rope_freq_base(self._base(_FULL))
        writer.add_rope_freq_base_swa(self._base(_WINDOW))
        writer.add_causal_attention(False)
        writer.add_string(f"{self.name}.hidden_activation", self._activation)
        writer.add_vocab_size(self._n_vocab)
        if self._is_ranker:
            writer.add_pooling_type(gguf.PoolingType.RANK)
            writer.add_uint32(f"{self.name}.classifier.pooling_type", self._head_pooling())
            writer.add_classifier_output_labels(labels_of(self._folder))
        else:
            # Else what sentence-transformers takes for a bare encoder.
            writer.add_pooling_type(pooling_of(self._folder) or gguf.PoolingType.MEAN)
        self._vocabulary.write(writer, self._n_vocab)

    def tensors(self) -> Iterator[TensorPlan]:
        """Yield embeddings, blocks and, of a cross-encoder, its head."""
        at, n_embd = self._prefix, self._n_embd
        table = (self._n_vocab, n_embd)
        yield TensorPlan(f"{at}embeddings.tok_embeddings.weight", "token_embd.weight", table)
        yield TensorPlan(f"{at}embeddings.norm.weight", "token_embd_norm.weight", (n_embd,))
        shapes = {
            "e": (n_embd,),
            "ee": (n_embd, n_embd),
            "3e": (3 * n_embd, n_embd),
            "2e": (2 * self._n_inner, n_embd),
            "ef": (n_embd, self._n_inner),
        }
        for layer in range(self._n_layer):
            for theirs, ours, letters in _BLOCK[layer == 0 :]:  # before the first is the table's
                source = f"{at}layers.{layer}.{theirs}.weight"
                yield TensorPlan(source, f"blk.{layer}.{ours}.weight", shapes[letters])
        yield TensorPlan(f"{at}final_norm.weight", "output_norm.weight", (n_embd,))
        if self._is_ranker:
            yield TensorPlan("head.dense.weight", "cls.weight", (n_embd, n_embd))
            yield TensorPlan("head.norm.weight", "cls.norm.weight", (n_embd,))
            n_labels = len(labels_of(self._folder))
            yield TensorPlan("classifier.weight", "cls.output.weight", (n_labels, n_embd))
            yield TensorPlan("classifier.bias", "cls.output.bias", (n_labels,))

    def ignores(self, tensor: str) -> bool:
        """Whether a tensor is of no use here: of a head that guesses words."""
        return _UNUSED.match(tensor) is not None

    def _full_every(self) -> int:
        """Every how many layers, from the first on, one sees everything.

        Raises:
            UnsupportedArchitecture: They come in another order.
        """
        kinds = self._folder.config.get("layer_types")
        if kinds is None:
            return self._folder.integer("global_attn_every_n_layers", 3)
        known = isinstance(kinds, list) and set(kinds) <= {_FULL, _WINDOW}
        full = [i for i, kind in enumerate(kinds) if kind == _FULL] if known else []
        period = full[1] if len(full) > 1 else self._n_layer + 1
        wanted = [_WINDOW if layer % period else _FULL for layer in range(self._n_layer)]
        if kinds != wanted:
            raise UnsupportedArchitecture(
                "'layer_types' says that layers which see everything come in no regular order,"
                " which is all that is known here",
                hint=_ELSEWHERE,
            )
        return period

    def _base(self, kind: str) -> float:
        """What the frequencies of positions are powers of, in one kind of layers.

        Raises:
            BadModelFile: It is no positive number.
            UnsupportedArchitecture: They are scaled.
        """
        config = self._folder.config
        key, default = _BASES[kind]
        rope = config.get("rope_parameters")
        settings = rope.get(kind) if isinstance(rope, dict) else None
        settings = settings if isinstance(settings, dict) else {}
        self._refuse_unknown({"rope_type": "default", "rope_scaling": None}, {**config, **settings})
        base = settings.get("rope_theta") or config.get(key) or default
        if isinstance(base, bool) or not isinstance(base, int | float) or not 0 < base < 1e30:
            raise BadModelFile(f"the base of positions in config.json is {base!r}, which is none")
        return float(base)

    def _head_pooling(self) -> gguf.PoolingType:
        """What the head makes scores of: the first token's vector, or the mean of all."""
        pooling = self._folder.config.get("classifier_pooling", "cls")
        if pooling not in ("cls", "mean"):
            raise BadModelFile(f"'classifier_pooling' in config.json is {pooling!r}")
        return gguf.PoolingType.MEAN if pooling == "mean" else gguf.PoolingType.CLS

    def _refuse_unknown(self, fixed: dict[str, Any], config: dict[str, Any]) -> None:
        for key, known in fixed.items():
            if config.get(key, known) not in (known, None):
                raise UnsupportedArchitecture(
                    f"'{key}' is {config[key]!r}; llama.cpp computes only {known!r}",
                    hint=_ELSEWHERE,
                )

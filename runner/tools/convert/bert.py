"""BERT: encoders that embed text, and cross-encoders that score a pair of texts.

Source of names and keys: ``src/models/bert.cpp`` and ``src/llama-arch.cpp`` of llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import gguf

from runner.errors import BadModelFile
from runner.tools.convert.architecture import TensorPlan
from runner.tools.convert.folder import ModelFolder
from runner.tools.convert.pooling import pooling_of
from runner.tools.convert.wordpiece import read_wordpiece

#: The modules of one block, theirs and ours; widths: ``e`` the embedding's, ``f`` the inner.
_BLOCK = (
    ("attention.self.query", "attn_q", "ee"),
    ("attention.self.key", "attn_k", "ee"),
    ("attention.self.value", "attn_v", "ee"),
    ("attention.output.dense", "attn_output", "ee"),
    ("attention.output.LayerNorm", "attn_output_norm", "e"),
    ("intermediate.dense", "ffn_up", "fe"),
    ("output.dense", "ffn_down", "ef"),
    ("output.LayerNorm", "layer_output_norm", "e"),
)
#: What no vector needs: counts, heads for guessing words and, without a classifier, the pooler.
_UNUSED = re.compile(r"embeddings\.position_ids|pooler\.|cls\.")


class Bert:
    """``BertModel`` and ``BertForSequenceClassification``."""

    name = "bert"

    def __init__(self, folder: ModelFolder) -> None:
        """Read the sizes and the vocabulary.

        Raises:
            BadModelFile: Something is missing or of a kind that llama.cpp cannot compute.
        """
        self._folder = folder
        self._n_embd = folder.integer("hidden_size")
        self._n_inner = folder.integer("intermediate_size")
        self._n_layer = folder.integer("num_hidden_layers")
        self._n_head = folder.integer("num_attention_heads")
        self._n_ctx = folder.integer("max_position_embeddings")
        self._n_vocab = folder.integer("vocab_size")
        self._n_types = folder.integer("type_vocab_size", 1)
        if self._n_embd % self._n_head:
            raise BadModelFile(f"{self._n_embd} elements for {self._n_head} heads in config.json")
        for key, known in (("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
            if folder.config.get(key, known) != known:
                raise BadModelFile(
                    f"'{key}' is {folder.config[key]!r}; llama.cpp computes only {known!r}"
                )
        self._prefix = "bert." if any(name.startswith("bert.") for name in folder.tensors) else ""
        self._is_ranker = "classifier.weight" in folder.tensors
        self._vocabulary = read_wordpiece(folder)

    def write_metadata(self, writer: gguf.GGUFWriter) -> None:
        """Add sizes, pooling and vocabulary."""
        writer.add_context_length(self._n_ctx)
        writer.add_embedding_length(self._n_embd)
        writer.add_feed_forward_length(self._n_inner)
        writer.add_block_count(self._n_layer)
        writer.add_head_count(self._n_head)
        writer.add_layer_norm_eps(float(self._folder.config.get("layer_norm_eps", 1e-12)))
        writer.add_causal_attention(False)
        writer.add_pooling_type(self._pooling())
        if self._is_ranker:
            writer.add_classifier_output_labels(self._labels())
        writer.add_token_type_count(self._n_types)
        self._vocabulary.write(writer, self._n_vocab)

    def tensors(self) -> Iterator[TensorPlan]:
        """Yield embeddings, blocks and, of a cross-encoder, its head."""
        at, n_embd = self._prefix, self._n_embd
        table = f"{at}embeddings."
        yield TensorPlan(
            f"{table}word_embeddings.weight", "token_embd.weight", (self._n_vocab, n_embd)
        )
        yield TensorPlan(
            f"{table}position_embeddings.weight",
            "position_embd.weight",
            (self._n_ctx, n_embd),
            is_exact=True,
        )
        yield TensorPlan(
            f"{table}token_type_embeddings.weight",
            "token_types.weight",
            (self._n_types, n_embd),
            is_exact=True,
        )
        yield from self._module(f"{table}LayerNorm", "token_embd_norm", (n_embd,))
        widths = {"e": n_embd, "f": self._n_inner}
        for layer in range(self._n_layer):
            for theirs, ours, letters in _BLOCK:
                shape = tuple(widths[letter] for letter in letters)
                source = f"{at}encoder.layer.{layer}.{theirs}"
                yield from self._module(source, f"blk.{layer}.{ours}", shape)
        if self._is_ranker:
            yield from self._module(f"{at}pooler.dense", "cls", (n_embd, n_embd))
            yield from self._module("classifier", "cls.output", (len(self._labels()), n_embd))

    def ignores(self, tensor: str) -> bool:
        """Whether a tensor is of no use for vectors: of a head that guesses words, or a count."""
        return _UNUSED.match(tensor.removeprefix(self._prefix)) is not None

    def _module(self, source: str, target: str, shape: tuple[int, ...]) -> Iterator[TensorPlan]:
        """Weight and bias of one module; older folders call a norm's gamma and beta."""
        for part, old, size in (("weight", "gamma", shape), ("bias", "beta", shape[:1])):
            name = f"{source}.{part}"
            if name not in self._folder.tensors and f"{source}.{old}" in self._folder.tensors:
                name = f"{source}.{old}"
            yield TensorPlan(name, f"{target}.{part}", size)

    def _pooling(self) -> gguf.PoolingType:
        if self._is_ranker:
            return gguf.PoolingType.RANK
        # Else what sentence-transformers takes for a bare BERT.
        return pooling_of(self._folder) or gguf.PoolingType.MEAN

    def _labels(self) -> list[str]:
        """Names of what the head tells apart; as many as it has rows."""
        labels = self._folder.config.get("id2label")
        if isinstance(labels, dict) and labels:
            return [str(label) for label in labels.values()]
        return ["LABEL_0"]

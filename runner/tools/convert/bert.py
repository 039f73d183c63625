"""BERT and DistilBERT: encoders that embed text, and cross-encoders that score a pair of texts.

Source of names and keys: ``src/models/bert.cpp`` and ``src/llama-arch.cpp`` of llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

import gguf

from runner.errors import BadModelFile
from runner.tools.convert.architecture import TensorPlan
from runner.tools.convert.folder import ModelFolder
from runner.tools.convert.pooling import pooling_of
from runner.tools.convert.vocabulary import Vocabulary
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
#: The same of DistilBERT.
_DISTILLED = (
    ("attention.q_lin", "attn_q", "ee"),
    ("attention.k_lin", "attn_k", "ee"),
    ("attention.v_lin", "attn_v", "ee"),
    ("attention.out_lin", "attn_output", "ee"),
    ("sa_layer_norm", "attn_output_norm", "e"),
    ("ffn.lin1", "ffn_up", "fe"),
    ("ffn.lin2", "ffn_down", "ef"),
    ("output_layer_norm", "layer_output_norm", "e"),
)
#: What no vector needs: counts, heads for guessing words and, without a classifier, the pooler.
_UNUSED = re.compile(r"embeddings\.position_ids|pooler\.|cls\.|vocab_|lm_head\.")


def is_unused(tensor: str) -> bool:
    """Return whether no vector needs a tensor, whose name is without the kind of the model."""
    return _UNUSED.match(tensor) is not None


def labels_of(folder: ModelFolder) -> list[str]:
    """Return names of what a head tells apart; as many as it has rows."""
    labels = folder.config.get("id2label")
    if isinstance(labels, dict) and labels:
        return [str(label) for label in labels.values()]
    return [f"LABEL_{number}" for number in range(folder.integer("num_labels", 2))]


class Bert:
    """``BertModel`` and ``BertForSequenceClassification``."""

    name = "bert"
    #: What ``config.json`` calls the sizes, where the modules of all kinds and of a block are.
    keys: ClassVar[tuple[str, ...]] = (
        *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
        "hidden_act",
    )
    prefix: ClassVar[str] = "bert."
    blocks: ClassVar[str] = "encoder.layer"
    block: ClassVar[tuple[tuple[str, str, str], ...]] = _BLOCK
    #: Whether the first and the second text of a pair are told apart by a table.
    has_types: ClassVar[bool] = True

    def __init__(self, folder: ModelFolder) -> None:
        """Read the sizes and the vocabulary.

        Raises:
            BadModelFile: Something is missing or of a kind that llama.cpp cannot compute.
        """
        self._folder = folder
        *sizes, activation = self.keys
        self._n_embd, self._n_inner, self._n_layer, self._n_head = map(folder.integer, sizes)
        self._n_skipped = self.n_skipped_positions()
        self._n_ctx = folder.integer("max_position_embeddings") - self._n_skipped
        if self._n_ctx < 1:
            raise BadModelFile("'max_position_embeddings' in config.json leaves no position")
        self._n_vocab = folder.integer("vocab_size")
        self._n_types = folder.integer("type_vocab_size", 1)
        if self._n_embd % self._n_head:
            raise BadModelFile(f"{self._n_embd} elements for {self._n_head} heads in config.json")
        for key, known in ((activation, "gelu"), ("position_embedding_type", "absolute")):
            if folder.config.get(key, known) != known:
                raise BadModelFile(
                    f"'{key}' is {folder.config[key]!r}; llama.cpp computes only {known!r}"
                )
        has_prefix = any(name.startswith(self.prefix) for name in folder.tensors)
        self._prefix = self.prefix if has_prefix else ""
        self._is_ranker = f"{self.head()[1]}.weight" in folder.tensors
        self._vocabulary = self.read_vocabulary()

    def read_vocabulary(self) -> Vocabulary:
        """Return the vocabulary of the folder; raises ``BadModelFile``."""
        return read_wordpiece(self._folder)

    def n_skipped_positions(self) -> int:
        """Return how many rows of the table of positions are of no text's."""
        return 0

    def head(self) -> tuple[str, str]:
        """Return the two modules that make a score of a vector, first and last."""
        return f"{self._prefix}pooler.dense", "classifier"

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
            writer.add_classifier_output_labels(labels_of(self._folder))
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
            n_skipped_rows=self._n_skipped,
        )
        if self.has_types:
            yield TensorPlan(
                f"{table}token_type_embeddings.weight",
                "token_types.weight",
                (self._n_types, n_embd),
                is_exact=True,
            )
        yield from self._module(f"{table}LayerNorm", "token_embd_norm", (n_embd,))
        widths = {"e": n_embd, "f": self._n_inner}
        for layer in range(self._n_layer):
            for theirs, ours, letters in self.block:
                shape = tuple(widths[letter] for letter in letters)
                source = f"{at}{self.blocks}.{layer}.{theirs}"
                yield from self._module(source, f"blk.{layer}.{ours}", shape)
        if self._is_ranker:
            first, last = self.head()
            n_labels = len(labels_of(self._folder))
            yield from self._module(first, "cls", (n_embd, n_embd))
            yield from self._module(last, "cls.output", (n_labels, n_embd))

    def ignores(self, tensor: str) -> bool:
        """Whether a tensor is of no use for vectors: of a head that guesses words, or a count."""
        return is_unused(tensor.removeprefix(self._prefix))

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


class DistilBert(Bert):
    """``DistilBertModel``: half a BERT's layers, and nothing to tell two texts apart."""

    keys = ("dim", "hidden_dim", "n_layers", "n_heads", "activation")
    prefix = "distilbert."
    blocks = "transformer.layer"
    block = _DISTILLED
    has_types = False

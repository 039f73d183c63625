"""Decoders that write text, or embed it: Llama with SmolLM, Qwen 2 and Qwen 3.

They share one skeleton; in what they differ is told by their class variables.  Source of names and
keys: ``conversion/llama.py``, ``conversion/qwen.py`` and ``src/models`` of llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

import gguf

from runner.errors import BadModelFile, UnsupportedArchitecture
from runner.tools.convert.architecture import TensorPlan
from runner.tools.convert.bpe import read_bpe
from runner.tools.convert.folder import ModelFolder
from runner.tools.convert.pooling import pooling_of
from runner.tools.convert.rope import read_rope
from runner.tools.convert.sentencepiece import read_sentencepiece

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
#: Frequencies that older files hold, though each can be computed.
_COMPUTED = re.compile(r"(?:.*\.)?rotary_emb\.inv_freq")
_QKV = frozenset({"attn_q", "attn_k", "attn_v"})
_ELSEWHERE = "look for a GGUF build of this model"


class Decoder:
    """What the kinds below share; abstract."""

    name: ClassVar[str]
    #: Whether queries and keys have norms of their own, a head's width each.
    has_head_norms: ClassVar[bool] = False
    #: Whether rotary positions turn halves where llama.cpp turns neighbours.
    turns_halves: ClassVar[bool] = False
    #: Modules of a block that llama.cpp adds a bias in.
    biased: ClassVar[frozenset[str]] = _QKV
    #: Whether a head may be of another width than the embedding has for each.
    has_own_head_dim: ClassVar[bool] = True
    #: Ways of scaling positions that llama.cpp computes.
    ropes: ClassVar[tuple[str, ...]] = ("linear", "yarn")

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
        self._n_head_dim = folder.integer("head_dim", self._n_embd // self._n_head)
        if not self.has_own_head_dim and self._n_head_dim * self._n_head != self._n_embd:
            raise UnsupportedArchitecture(
                f"'head_dim' is {self._n_head_dim}; of {self.name} llama.cpp computes only"
                f" {self._n_embd} elements / {self._n_head} heads",
                hint=_ELSEWHERE,
            )
        if folder.config.get("hidden_act", "silu") != "silu":
            raise UnsupportedArchitecture(
                f"'hidden_act' is {folder.config['hidden_act']!r}; llama.cpp computes only 'silu'",
                hint=_ELSEWHERE,
            )
        self._rope = read_rope(folder, self.ropes)
        self._prefix = "model." if any(t.startswith("model.") for t in folder.tensors) else ""
        has_json = folder.file("tokenizer.json") is not None
        self._vocabulary = read_bpe(folder) if has_json else read_sentencepiece(folder)

    def write_metadata(self, writer: gguf.GGUFWriter) -> None:
        """Add sizes, positions and vocabulary."""
        config = self._folder.config
        writer.add_context_length(min(self._n_ctx, self._window()))
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
        self._rope.write(writer, self._n_ctx)
        if (pooling := pooling_of(self._folder)) is not None:
            writer.add_pooling_type(pooling)
        self._vocabulary.write(writer, self._n_vocab)

    def _window(self) -> int:
        """Tokens within which every layer sees all: beyond, some of them would see fewer."""
        if not self._folder.config.get("use_sliding_window"):
            return self._n_ctx
        if self._folder.config.get("max_window_layers", 0) >= self._n_layer:
            return self._n_ctx
        return self._folder.integer("sliding_window", self._n_ctx)

    def tensors(self) -> Iterator[TensorPlan]:
        """Yield embeddings, blocks and head."""
        at, n_embd = self._prefix, self._n_embd
        yield TensorPlan(f"{at}embed_tokens.weight", "token_embd.weight", (self._n_vocab, n_embd))
        if (factors := self._rope.factors(self._n_head_dim)) is not None:
            yield TensorPlan("", "rope_freqs.weight", factors.shape, made=factors)
        for layer in range(self._n_layer):
            yield from self._block(f"{at}layers.{layer}.", f"blk.{layer}.")
        yield TensorPlan(f"{at}norm.weight", "output_norm.weight", (n_embd,))
        if self._has_head():
            yield TensorPlan("lm_head.weight", "output.weight", (self._n_vocab, n_embd))

    def ignores(self, tensor: str) -> bool:
        """Whether a tensor of the folder says nothing that the others do not say."""
        is_tied_head = tensor == "lm_head.weight" and not self._has_head()
        return is_tied_head or _COMPUTED.fullmatch(tensor) is not None

    def _has_head(self) -> bool:
        """Whether what is said has a table of its own, which is not that of what is read."""
        config = self._folder.config
        is_tied = config.get("tie_word_embeddings")
        is_there = "lm_head.weight" in self._folder.tensors
        is_bare = str(config["architectures"][0]).endswith("Model")  # it embeds, and says nothing
        return (is_there and not is_tied) or (is_tied is False and not is_bare)

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
                is_biased = target in self.biased and name in self._folder.tensors
                if part == "weight" or is_biased:
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
    biased = frozenset(target for _, target, _ in BLOCK)
    ropes = ("linear", "yarn", "llama3")


class Qwen2(Decoder):
    """``Qwen2ForCausalLM``."""

    name = "qwen2"
    has_own_head_dim = False


class Qwen3(Decoder):
    """``Qwen3ForCausalLM``."""

    name = "qwen3"
    has_head_norms = True


class SmolLm3(Decoder):
    """``SmolLM3ForCausalLM``: a Llama in which every fourth layer has no positions."""

    name = "smollm3"
    turns_halves = True

    def __init__(self, folder: ModelFolder) -> None:
        """Do as for the others; raises likewise."""
        super().__init__(folder)
        turning = folder.config.get("no_rope_layers")
        usual = [int((layer + 1) % 4 != 0) for layer in range(self._n_layer)]
        if turning not in (None, [], usual) or folder.config.get("no_rope_layer_interval", 4) != 4:
            raise UnsupportedArchitecture(
                "its layers without positions are not every fourth, which is all that llama.cpp"
                " computes",
                hint=_ELSEWHERE,
            )

"""Tiny GGUF models of every kind, with random weights, and the arithmetic of one of them.

What they say means nothing, but it depends on every token before it: a token that was lost, doubled
or put at a wrong position changes the numbers.  ``LlamaWeights.logits`` computes the same model
with numpy, so that a test knows what llama.cpp must answer.  Models that say something readable
are in ``models.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from tests.fakes.models import CHATML, CONTROL

Array = npt.NDArray[np.float32]

N_EMBD, N_HEAD, N_HEAD_KV, N_FF = 64, 4, 2, 96
HEAD = N_EMBD // N_HEAD
_EPS, _ROPE_BASE = 1e-5, 10000.0
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_TOKENS = ["<unk>", "<s>", "</s>", *_BYTES, *CONTROL, "▁"]
N_VOCAB = len(_TOKENS)


@dataclass(frozen=True, slots=True)
class LlamaWeights:
    """A llama with grouped heads: its tensors, by their names in the file."""

    tensors: Mapping[str, Array]
    n_layer: int

    def logits(self, tokens: list[int]) -> Array:
        """Return the logits after ``tokens``, ``(n_vocab,)``, computed in one go.

        Source: Touvron et al. 2023 (arXiv 2302.13971) with grouped heads; rotary positions turn
        neighbouring numbers, as llama.cpp's files of this architecture want it.
        """
        x = self.tensors["token_embd.weight"][tokens]
        for layer in range(self.n_layer):
            x = x + self._attention(layer, _norm(x, self._of(layer, "attn_norm")))
            h = _norm(x, self._of(layer, "ffn_norm"))
            gate = h @ self._of(layer, "ffn_gate").T
            gate = gate / (1 + np.exp(-gate)) * (h @ self._of(layer, "ffn_up").T)
            x = x + gate @ self._of(layer, "ffn_down").T
        last = _norm(x, self.tensors["output_norm.weight"])[-1]
        return np.asarray(self.tensors["output.weight"] @ last, np.float32)

    def _of(self, layer: int, part: str) -> Array:
        return self.tensors[f"blk.{layer}.{part}.weight"]

    def _attention(self, layer: int, x: Array) -> Array:
        n = len(x)
        q, k, v = (
            (x @ self._of(layer, f"attn_{part}").T).reshape(n, -1, HEAD) for part in ("q", "k", "v")
        )
        q, k = _turned(q), _turned(k)
        k, v = (np.repeat(part, N_HEAD // N_HEAD_KV, axis=1) for part in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(HEAD)
        scores[:, ~np.tri(n, dtype=bool)] = -np.inf
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", scores, v).reshape(n, N_EMBD)
        return np.asarray(mixed @ self._of(layer, "attn_output").T, np.float32)


def _norm(x: Array, weight: Array) -> Array:
    scale = np.sqrt((x**2).mean(axis=-1, keepdims=True) + _EPS)
    return np.asarray(x / scale * weight, np.float32)


def _turned(x: Array) -> Array:
    """Turn each pair of neighbours by its position; ``x`` is ``(n, heads, HEAD)``."""
    speed = _ROPE_BASE ** (-np.arange(0, HEAD, 2) / HEAD)
    angle = (np.arange(len(x))[:, None] * speed)[:, None, :]
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = np.empty_like(x)
    turned[..., 0::2] = even * np.cos(angle) - odd * np.sin(angle)
    turned[..., 1::2] = even * np.sin(angle) + odd * np.cos(angle)
    return turned


def random_llama(
    path: Path,
    *,
    seed: int = 0,
    n_layer: int = 2,
    n_ctx_train: int = 4096,
    scale_output: float = 0.3,
) -> LlamaWeights:
    """Write a llama with two heads to each key and return its weights; one layer is a draft's."""
    make = Random(seed)
    tensors = {**make.ends(), "output.weight": make(N_VOCAB, N_EMBD, scale=1) * scale_output}
    for layer in range(n_layer):
        tensors |= make.attention(layer) | make.feed_forward(layer)
    writer = _writer(path, "llama", n_layer, n_ctx_train)
    writer.add_rope_dimension_count(HEAD)
    write_tensors(writer, tensors)
    return LlamaWeights(tensors, n_layer)


def random_sliding(path: Path, *, window: int = 32, seed: int = 0) -> Path:
    """Write a Gemma 3 whose every other layer sees only the last ``window`` tokens."""
    n_layer, make = 4, Random(seed)
    # The embedding is large here: with it for the output, too, every token would repeat itself.
    tensors = {**make.ends(), "output.weight": make(N_VOCAB, N_EMBD, scale=0.3)}
    for layer in range(n_layer):
        tensors |= make.attention(layer) | make.feed_forward(layer) | make.head_norms(layer)
        for part in ("post_attention_norm", "post_ffw_norm"):
            tensors[f"blk.{layer}.{part}.weight"] = np.ones(N_EMBD, np.float32)
    writer = _writer(path, "gemma3", n_layer)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_sliding_window(window)
    writer.add_sliding_window_pattern([True, False] * (n_layer // 2))
    write_tensors(writer, tensors)
    return path


def random_moe(path: Path, *, seed: int = 0, n_layer: int = 4, n_expert: int = 8) -> Path:
    """Write a Mixtral: two of its experts read each token."""
    make = Random(seed)
    tensors = {**make.ends(), "output.weight": make(N_VOCAB, N_EMBD, scale=0.3)}
    for layer in range(n_layer):
        at = f"blk.{layer}."
        tensors |= make.attention(layer) | {
            f"{at}ffn_norm.weight": np.ones(N_EMBD, np.float32),
            f"{at}ffn_gate_inp.weight": make(n_expert, N_EMBD),
            f"{at}ffn_gate_exps.weight": make(n_expert, N_FF, N_EMBD),
            f"{at}ffn_up_exps.weight": make(n_expert, N_FF, N_EMBD),
            f"{at}ffn_down_exps.weight": make(n_expert, N_EMBD, N_FF),
        }
    writer = _writer(path, "llama", n_layer)
    writer.add_rope_dimension_count(HEAD)
    writer.add_expert_count(n_expert)
    writer.add_expert_used_count(2)
    write_tensors(writer, tensors)
    return path


def random_qwen2vl(path: Path, *, seed: int = 0) -> Path:
    """Write a Qwen2-VL, whose positions have parts for time, height and width."""
    n_layer, make = 2, Random(seed)
    tensors = {**make.ends(), "output.weight": make(N_VOCAB, N_EMBD, scale=0.3)}
    for layer in range(n_layer):
        tensors |= make.attention(layer) | make.feed_forward(layer)
        for part, n in (("q", N_EMBD), ("k", N_HEAD_KV * HEAD), ("v", N_HEAD_KV * HEAD)):
            tensors[f"blk.{layer}.attn_{part}.bias"] = make(n)
    writer = _writer(path, "qwen2vl", n_layer)
    writer.add_rope_dimension_sections([2, 3, 3, 0])
    write_tensors(writer, tensors)
    return path


def random_mamba(path: Path, *, seed: int = 0) -> Path:
    """Write a Mamba: no attention, one state that every token changes."""
    n_layer, n_inner, n_state, n_rank, n_conv = 2, 2 * N_EMBD, 16, 4, 4
    make = Random(seed)
    tensors = make.ends()
    for layer in range(n_layer):
        at = f"blk.{layer}."
        tensors |= {
            f"{at}attn_norm.weight": np.ones(N_EMBD, np.float32),
            f"{at}ssm_in.weight": make(2 * n_inner, N_EMBD),
            f"{at}ssm_conv1d.weight": make(n_inner, n_conv, scale=0.5),
            f"{at}ssm_conv1d.bias": make(n_inner),
            f"{at}ssm_x.weight": make(n_rank + 2 * n_state, n_inner),
            f"{at}ssm_dt.weight": make(n_inner, n_rank, scale=0.5),
            f"{at}ssm_dt.bias": make(n_inner),
            # Small, so that the state forgets slowly.
            f"{at}ssm_a": -np.tile(np.linspace(0.01, 0.2, n_state, dtype=np.float32), (n_inner, 1)),
            f"{at}ssm_d": np.ones(n_inner, np.float32),
            f"{at}ssm_out.weight": make(N_EMBD, n_inner),
        }
    writer = _writer(path, "mamba", n_layer)
    writer.add_ssm_conv_kernel(n_conv)
    writer.add_ssm_inner_size(n_inner)
    writer.add_ssm_state_size(n_state)
    writer.add_ssm_time_step_rank(n_rank)
    write_tensors(writer, tensors)
    return path


def random_hybrid(path: Path, *, seed: int = 0) -> Path:
    """Write an LFM2: layers with attention and layers with a short state, in turns."""
    n_layer, n_taps, make = 4, 3, Random(seed)
    heads = [0, N_HEAD_KV] * (n_layer // 2)
    tensors = make.ends(norm="token_embd_norm")
    for layer, n_kv in enumerate(heads):
        at = f"blk.{layer}."
        tensors |= make.feed_forward(layer)
        if n_kv:
            tensors |= make.attention(layer) | make.head_norms(layer)
        else:
            tensors[f"{at}attn_norm.weight"] = np.ones(N_EMBD, np.float32)
            tensors[f"{at}shortconv.conv.weight"] = make(N_EMBD, n_taps, scale=0.7)
            tensors[f"{at}shortconv.in_proj.weight"] = make(3 * N_EMBD, N_EMBD, scale=0.3)
            tensors[f"{at}shortconv.out_proj.weight"] = make(N_EMBD, N_EMBD, scale=0.3)
    writer = _writer(path, "lfm2", n_layer, n_head_kv=heads)
    writer.add_shortconv_l_cache(n_taps)
    write_tensors(writer, tensors)
    return path


def random_ranker(path: Path, *, seed: int = 0, n_ctx_train: int = 512) -> Path:
    """Write a BERT cross-encoder: one number for a query and a document read together."""
    n_layer, make = 2, Random(seed)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(33, 127)]
    # This tokenizer's files mark beginnings of words, and leave what goes on inside one bare.
    tokens += ["▁" + letter for letter in letters] + letters
    kinds = [gguf.TokenType.CONTROL] * 5 + [gguf.TokenType.NORMAL] * (len(tokens) - 5)
    tensors = {
        "token_embd.weight": make(len(tokens), N_EMBD, scale=1.0),
        "token_types.weight": make(2, N_EMBD, scale=1.0),
        "position_embd.weight": make(n_ctx_train, N_EMBD, scale=1.0),
        **make.centred("token_embd_norm"),
        **make.dense("cls", N_EMBD, N_EMBD),
        **make.dense("cls.output", 1, N_EMBD),
    }
    for layer in range(n_layer):
        at = f"blk.{layer}."
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors |= make.dense(at + part, N_EMBD, N_EMBD)
        tensors |= make.dense(f"{at}ffn_up", N_FF, N_EMBD) | make.dense(
            f"{at}ffn_down", N_EMBD, N_FF
        )
        tensors |= make.centred(f"{at}attn_output_norm") | make.centred(f"{at}layer_output_norm")
    writer = gguf.GGUFWriter(path, "bert")
    _add_sizes(writer, n_layer, n_ctx_train, N_HEAD)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_classifier_output_labels(["relevance"])
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_sep_token_id(3)
    writer.add_pad_token_id(0)
    writer.add_mask_token_id(4)
    write_tensors(writer, tensors)
    return path


def random_adapter(path: Path, *, seed: int = 0, n_layer: int = 2, alpha: float = 8.0) -> Path:
    """Write a LoRA adapter of rank 4 for the queries and outputs of ``random_llama``."""
    make, rank = Random(seed), 4
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    tensors: dict[str, Array] = {}
    for layer in range(n_layer):
        for part in ("attn_q", "attn_output"):
            name = f"blk.{layer}.{part}.weight"
            tensors[f"{name}.lora_a"] = make(rank, N_EMBD, scale=0.3)
            tensors[f"{name}.lora_b"] = make(N_EMBD, rank, scale=0.3)
    write_tensors(writer, tensors)
    return path


class Random:
    """Random tensors, the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(self, *shape: int, scale: float = 0.15) -> Array:
        return self._rng.normal(0, scale, shape).astype(np.float32)

    def ends(self, norm: str = "output_norm") -> dict[str, Array]:
        """Embedding and last norm."""
        return {
            "token_embd.weight": self(N_VOCAB, N_EMBD, scale=0.5),
            f"{norm}.weight": np.ones(N_EMBD, np.float32),
        }

    def attention(self, layer: int) -> dict[str, Array]:
        at, n_kv = f"blk.{layer}.", N_HEAD_KV * HEAD
        return {
            f"{at}attn_norm.weight": np.ones(N_EMBD, np.float32),
            f"{at}attn_q.weight": self(N_EMBD, N_EMBD, scale=0.3),
            f"{at}attn_k.weight": self(n_kv, N_EMBD, scale=0.3),
            f"{at}attn_v.weight": self(n_kv, N_EMBD, scale=0.3),
            f"{at}attn_output.weight": self(N_EMBD, N_EMBD, scale=0.3),
        }

    def head_norms(self, layer: int) -> dict[str, Array]:
        """Norms of queries and keys."""
        return {f"blk.{layer}.attn_{part}_norm.weight": np.ones(HEAD, np.float32) for part in "qk"}

    def feed_forward(self, layer: int) -> dict[str, Array]:
        at = f"blk.{layer}."
        return {
            f"{at}ffn_norm.weight": np.ones(N_EMBD, np.float32),
            f"{at}ffn_gate.weight": self(N_FF, N_EMBD),
            f"{at}ffn_up.weight": self(N_FF, N_EMBD),
            f"{at}ffn_down.weight": self(N_EMBD, N_FF),
        }

    def dense(self, name: str, n_out: int, n_in: int) -> dict[str, Array]:
        """A matrix with a bias."""
        return {f"{name}.weight": self(n_out, n_in), f"{name}.bias": self(n_out)}

    def centred(self, name: str) -> dict[str, Array]:
        """A layer norm that changes nothing else."""
        return {
            f"{name}.weight": np.ones(N_EMBD, np.float32),
            f"{name}.bias": np.zeros(N_EMBD, np.float32),
        }


def _writer(
    path: Path,
    architecture: str,
    n_layer: int,
    n_ctx_train: int = 4096,
    n_head_kv: int | list[int] = N_HEAD_KV,
) -> gguf.GGUFWriter:
    """A writer with sizes and the vocabulary of bytes: a byte is token 3 + byte."""
    writer = gguf.GGUFWriter(path, architecture)
    _add_sizes(writer, n_layer, n_ctx_train, n_head_kv)
    writer.add_layer_norm_rms_eps(_EPS)
    writer.add_vocab_size(N_VOCAB)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(_TOKENS)
    writer.add_token_scores([0.0] * N_VOCAB)
    kind = gguf.TokenType
    ends = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL]
    writer.add_token_types([*ends, *[kind.BYTE] * 256, *[kind.CONTROL] * len(CONTROL), kind.NORMAL])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHATML)
    return writer


def _add_sizes(
    writer: gguf.GGUFWriter, n_layer: int, n_ctx_train: int, n_head_kv: int | list[int]
) -> None:
    writer.add_name("random")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(n_ctx_train)
    writer.add_embedding_length(N_EMBD)
    writer.add_block_count(n_layer)
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(N_HEAD)
    writer.add_head_count_kv(n_head_kv)


def write_tensors(writer: gguf.GGUFWriter, tensors: Mapping[str, Array]) -> None:
    for name, tensor in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(tensor))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

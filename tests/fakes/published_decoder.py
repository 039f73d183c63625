"""Decoders as hubs publish them, with every oddity that real folders have, and their arithmetic.

``published`` writes a folder with random weights; ``NumpyDecoder`` computes it from that folder's
own files in float64, written from transformers' description and sharing no code with what is
tested.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.fakes.decoder_folder import write

N_EMBD, N_FF, N_LAYER, N_HEAD, N_HEAD_KV = 48, 80, 4, 4, 2
#: Bytes as GPT-2 spells them: those that can be seen stand for themselves.
_SEEN = [*range(33, 127), *range(161, 173), *range(174, 256)]
SPECIAL = ("<|begin|>", "<|end|>", "<|stop|>")


def published(
    folder: Path,
    architecture: str,
    *,
    biased: tuple[str, ...] = (),
    n_more_rows: int = 0,
    dtypes: tuple[str, ...] = ("f4",),
    n_files: int = 1,
    prefix: str = "model.",
    **config: object,
) -> Path:
    """Write the folder of a decoder and return it.

    Args:
        folder: Made.
        architecture: As ``config.json`` says it: ``LlamaForCausalLM``.
        biased: Modules of a block with a bias: ``self_attn.q_proj``.
        n_more_rows: Rows of the embedding beyond the tokens that there are.
        dtypes: Of the tensors, in turns: ``f4``, ``f2`` or ``bf16``.
        n_files: Files that the tensors are in, with an index.
        prefix: Before the names of tensors.
        config: Set in ``config.json``; ``None`` takes a key out.
    """
    folder.mkdir(parents=True)
    tokenizer = byte_tokenizer()
    n_vocab = len(tokenizer["model"]["vocab"]) + len(SPECIAL) + n_more_rows
    said = {
        "architectures": [architecture],
        "hidden_size": N_EMBD,
        "intermediate_size": N_FF,
        "num_hidden_layers": N_LAYER,
        "num_attention_heads": N_HEAD,
        "num_key_value_heads": N_HEAD_KV,
        "max_position_embeddings": 512,
        "vocab_size": n_vocab,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
        **config,
    }
    said = {key: value for key, value in said.items() if value is not None}
    write(folder / "config.json", said)
    write(folder / "tokenizer.json", tokenizer)
    write(folder / "tokenizer_config.json", {"bos_token": SPECIAL[0], "eos_token": SPECIAL[1]})
    _write_tensors(folder, _tensors(said, biased, prefix), dtypes, n_files)
    return folder


def byte_tokenizer() -> dict:
    """``tokenizer.json`` of a tokenizer whose tokens are single bytes, and one pair."""
    others = [byte for byte in range(256) if byte not in _SEEN]
    letters = [chr(byte) for byte in _SEEN] + [chr(256 + n) for n in range(len(others))]
    tokens = [*letters, "th"]
    added = [
        {"id": len(tokens) + n, "content": token, "special": True}
        for n, token in enumerate(SPECIAL)
    ]
    return {
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "post_processor": None,
        "model": {
            "type": "BPE",
            "vocab": {token: n for n, token in enumerate(tokens)},
            "merges": [["t", "h"]],
        },
    }


def _tensors(config: dict, biased: tuple[str, ...], prefix: str) -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    head = config.get("head_dim") or N_EMBD // N_HEAD

    def drawn(*shape: int, scale: float = 0.3) -> np.ndarray:
        return random.normal(0, scale, shape).astype(np.float32)

    tensors = {f"{prefix}embed_tokens.weight": drawn(config["vocab_size"], N_EMBD, scale=1.0)}
    if not config.get("tie_word_embeddings"):
        tensors["lm_head.weight"] = drawn(config["vocab_size"], N_EMBD)
    tensors[f"{prefix}norm.weight"] = 1 + drawn(N_EMBD, scale=0.1)
    sizes = {
        "self_attn.q_proj": (N_HEAD * head, N_EMBD),
        "self_attn.k_proj": (N_HEAD_KV * head, N_EMBD),
        "self_attn.v_proj": (N_HEAD_KV * head, N_EMBD),
        "self_attn.o_proj": (N_EMBD, N_HEAD * head),
        "mlp.gate_proj": (N_FF, N_EMBD),
        "mlp.up_proj": (N_FF, N_EMBD),
        "mlp.down_proj": (N_EMBD, N_FF),
    }
    for layer in range(N_LAYER):
        at = f"{prefix}layers.{layer}."
        for module, shape in sizes.items():
            tensors[f"{at}{module}.weight"] = drawn(*shape)
            if module in biased:
                tensors[f"{at}{module}.bias"] = drawn(shape[0])
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{at}{norm}.weight"] = 1 + drawn(N_EMBD, scale=0.1)
        if config["architectures"][0].startswith("Qwen3"):
            for part in "qk":
                tensors[f"{at}self_attn.{part}_norm.weight"] = 1 + drawn(head, scale=0.1)
    return tensors


def _write_tensors(
    folder: Path, tensors: dict[str, np.ndarray], dtypes: tuple[str, ...], n_files: int
) -> None:
    names = list(tensors)
    index = {}
    for number in range(n_files):
        name = "model.safetensors"
        if n_files > 1:
            name = f"model-{number + 1:05}-of-{n_files:05}.safetensors"
        own = names[number::n_files]
        index |= dict.fromkeys(own, name)
        kinds = {one: dtypes[names.index(one) % len(dtypes)] for one in own}
        save_mixed({one: tensors[one] for one in own}, kinds, folder / name)
    if n_files > 1:
        write(folder / "model.safetensors.index.json", {"weight_map": index})


def save_mixed(tensors: dict[str, np.ndarray], kinds: dict[str, str], path: Path) -> None:
    """Write safetensors, some of whose tensors are of a type that numpy has not."""
    if not set(kinds.values()) & {"bf16"}:
        save_file({name: value.astype(kinds[name]) for name, value in tensors.items()}, path)
        return
    table, raw = {}, b""
    for name, value in tensors.items():
        if kinds[name] == "bf16":
            content = (value.view(np.uint32) >> 16).astype("<u2").tobytes()
        else:
            content = value.astype(kinds[name]).tobytes()
        dtype = {"bf16": "BF16", "f4": "F32", "f2": "F16"}[kinds[name]]
        offsets = [len(raw), len(raw) + len(content)]
        table[name] = {"dtype": dtype, "shape": list(value.shape), "data_offsets": offsets}
        raw += content
    header = json.dumps(table).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + raw)


class NumpyDecoder:
    """The reference: Llama, Qwen 2, Qwen 3 or SmolLM3."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        loaded: dict[str, np.ndarray] = {}
        for path in folder.glob("*.safetensors"):
            loaded |= load_file(path)
        self.weights = {
            name.removeprefix("model."): value.astype(np.float64) for name, value in loaded.items()
        }

    def logits(self, tokens: list[int]) -> np.ndarray:
        """After the last of ``tokens``."""
        table = self.weights["embed_tokens.weight"]
        x = self._layers(table[tokens])
        is_tied = self.config.get("tie_word_embeddings") or "lm_head.weight" not in self.weights
        return (table if is_tied else self.weights["lm_head.weight"]) @ x[-1]

    def embedding(self, tokens: list[int]) -> np.ndarray:
        """The last token's vector, of length 1."""
        last = self._layers(self.weights["embed_tokens.weight"][tokens])[-1]
        return last / np.linalg.norm(last)

    def _layers(self, x: np.ndarray) -> np.ndarray:
        for layer in range(self.config["num_hidden_layers"]):
            at = f"layers.{layer}."
            x = x + self._attention(layer, self._norm(x, f"{at}input_layernorm.weight"))
            h = self._norm(x, f"{at}post_attention_layernorm.weight")
            gate = self._linear(h, f"{at}mlp.gate_proj")
            inner = gate / (1 + np.exp(-gate)) * self._linear(h, f"{at}mlp.up_proj")
            x = x + self._linear(inner, f"{at}mlp.down_proj")
        return self._norm(x, "norm.weight")

    def _attention(self, layer: int, x: np.ndarray) -> np.ndarray:
        at, n = f"layers.{layer}.self_attn.", len(x)
        width = self.config.get("head_dim") or N_EMBD // N_HEAD
        q, k, v = (
            self._linear(x, f"{at}{part}_proj").reshape(n, -1, width).swapaxes(0, 1)
            for part in "qkv"
        )
        if f"{at}q_norm.weight" in self.weights:
            q, k = self._norm(q, f"{at}q_norm.weight"), self._norm(k, f"{at}k_norm.weight")
        has_positions = "SmolLM3" not in self.config["architectures"][0] or (layer + 1) % 4
        if has_positions:
            q, k = self._turned(q), self._turned(k)
        k, v = (np.repeat(part, N_HEAD // N_HEAD_KV, axis=0) for part in (k, v))
        scores = q @ k.swapaxes(1, 2) / math.sqrt(width)
        scores[:, ~np.tri(n, dtype=bool)] = -np.inf
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ v).swapaxes(0, 1).reshape(n, -1)
        return self._linear(mixed, f"{at}o_proj")

    def _turned(self, x: np.ndarray) -> np.ndarray:
        """Halves of a head turn against each other; ``x`` is (heads, tokens, width)."""
        speeds, scale = self._speeds(x.shape[-1])
        angles = np.arange(x.shape[1])[:, None] * speeds
        cos, sin = np.cos(angles) * scale, np.sin(angles) * scale
        first, second = np.split(x, 2, axis=-1)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    def _speeds(self, width: int) -> tuple[np.ndarray, float]:
        """Turns of each pair from token to token, and what all is multiplied with.

        Source: ``modeling_rope_utils.py`` of transformers.
        """
        said = self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        base = said.get("rope_theta", self.config.get("rope_theta", 10000.0))
        speeds = base ** (-np.arange(0, width, 2) / width)
        kind, factor = said.get("rope_type", said.get("type", "default")), said.get("factor")
        if kind == "linear":
            return speeds / factor, 1.0
        if kind == "llama3":
            return _llama3(speeds, said), 1.0
        if kind == "yarn":
            return _yarn(speeds, said, base, width, self.config["max_position_embeddings"])
        return speeds, 1.0

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights.get(f"{name}.bias", 0.0)

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        scale = np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.config["rms_norm_eps"])
        return x / scale * self.weights[name]


def _llama3(speeds: np.ndarray, said: dict) -> np.ndarray:
    n_trained = said["original_max_position_embeddings"]
    low, high = said["low_freq_factor"], said["high_freq_factor"]
    lengths = 2 * math.pi / speeds
    smooth = (n_trained / lengths - low) / (high - low)
    between = (1 - smooth) * speeds / said["factor"] + smooth * speeds
    slow = np.where(lengths > n_trained / low, speeds / said["factor"], between)
    return np.where(lengths < n_trained / high, speeds, slow)


def _yarn(
    speeds: np.ndarray, said: dict, base: float, width: int, n_ctx: int
) -> tuple[np.ndarray, float]:
    factor = said["factor"]
    n_trained = said.get("original_max_position_embeddings", n_ctx)

    def place(n_turns: float) -> float:
        return width * math.log(n_trained / (n_turns * 2 * math.pi)) / (2 * math.log(base))

    low = max(math.floor(place(said.get("beta_fast", 32))), 0)
    high = min(math.ceil(place(said.get("beta_slow", 1))), width - 1)
    ramp = np.clip((np.arange(width // 2) - low) / max(high - low, 0.001), 0, 1)
    mixed = speeds / factor * ramp + speeds * (1 - ramp)
    scale = said.get("attention_factor")
    if scale is None and said.get("mscale") and said.get("mscale_all_dim"):
        one, every = (0.1 * said[k] * math.log(factor) + 1 for k in ("mscale", "mscale_all_dim"))
        scale = one / every
    return mixed, scale if scale is not None else 0.1 * math.log(factor) + 1

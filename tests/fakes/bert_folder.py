"""Small BERT folders with random weights, as a hub publishes them, and a BERT in plain numpy.

The numpy one is the reference: float64, GELU by the error function, written from the paper,
sharing no code with what is tested.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*"abcdefghijklmnopqrstuvwxyz0123456789.,!?", "cat", "dog", "sat", "the", "##ting"]
VOCABULARY = [*SPECIAL, *WORDS, *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
CLS, SEP = 2, 3


def bert_folder(
    path: Path, *, head: bool = False, pooling: str = "mean", seed: int = 0, old_names: bool = False
) -> Path:
    """Write a folder of one BERT with two layers and return ``path``.

    Args:
        path: The folder; made.
        head: Whether it is a cross-encoder, with pooler and classifier.
        pooling: What ``1_Pooling`` says: ``mean`` or ``cls``.
        seed: Of the weights.
        old_names: Whether norms say gamma and beta, and there is ``vocab.txt`` alone.
    """
    n_embd, n_inner, n_ctx, n_vocab = 32, 64, 64, len(VOCABULARY)
    random = np.random.default_rng(seed)
    prefix = "bert." if head else ""
    tensors: dict[str, np.ndarray] = {}

    def linear(name: str, n_out: int, n_in: int) -> None:
        tensors[f"{name}.weight"] = random.normal(0, 0.3, (n_out, n_in)).astype(np.float32)
        tensors[f"{name}.bias"] = random.normal(0, 0.1, n_out).astype(np.float32)

    def norm(name: str) -> None:
        weight, bias = ("gamma", "beta") if old_names else ("weight", "bias")
        tensors[f"{name}.{weight}"] = random.normal(1, 0.1, n_embd).astype(np.float32)
        tensors[f"{name}.{bias}"] = random.normal(0, 0.1, n_embd).astype(np.float32)

    for table, n in (("word", n_vocab), ("position", n_ctx), ("token_type", 2)):
        rows = random.normal(0, 1, (n, n_embd)).astype(np.float32)
        tensors[f"{prefix}embeddings.{table}_embeddings.weight"] = rows
    norm(f"{prefix}embeddings.LayerNorm")
    for layer in range(2):
        at = f"{prefix}encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear(f"{at}.attention.{part}", n_embd, n_embd)
        norm(f"{at}.attention.output.LayerNorm")
        linear(f"{at}.intermediate.dense", n_inner, n_embd)
        linear(f"{at}.output.dense", n_embd, n_inner)
        norm(f"{at}.output.LayerNorm")
    linear(f"{prefix}pooler.dense", n_embd, n_embd)
    if head:
        linear("classifier", 1, n_embd)
    path.mkdir(parents=True)
    save_file(tensors, path / "model.safetensors")
    config = {
        "architectures": ["BertForSequenceClassification" if head else "BertModel"],
        "hidden_size": n_embd,
        "intermediate_size": n_inner,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": n_ctx,
        "vocab_size": n_vocab,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
    }
    if head:
        config["id2label"] = {"0": "LABEL_0"}
    write_json(path / "config.json", config)
    write_json(path / "tokenizer_config.json", {"do_lower_case": True})
    if old_names:
        (path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    else:
        write_json(path / "tokenizer.json", tokenizer())
    if not head:
        (path / "1_Pooling").mkdir()
        says = {"pooling_mode_cls_token": pooling == "cls"}
        says["pooling_mode_mean_tokens"] = pooling == "mean"
        write_json(path / "1_Pooling" / "config.json", says)
    return path


def tokenizer() -> dict:
    """What ``tokenizer.json`` says."""
    return {
        "added_tokens": [
            {"id": i, "content": token, "special": True} for i, token in enumerate(SPECIAL)
        ],
        "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": None},
        "model": {"type": "WordPiece", "vocab": {token: i for i, token in enumerate(VOCABULARY)}},
    }


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def change_json(path: Path, **changes: object) -> None:
    """Set keys of a JSON file; ``None`` takes one away."""
    value = json.loads(path.read_text(encoding="utf-8")) | changes
    write_json(path, {key: item for key, item in value.items() if item is not None})


def erf(x: np.ndarray) -> np.ndarray:
    """The error function to 1.5e-7: Abramowitz and Stegun, 7.1.26."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = 0.0
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + factor) * t
    return np.sign(x) * (1 - series * np.exp(-x * x))


class NumpyBert:
    """The reference."""

    epsilon = 1e-12

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        loaded = load_file(folder / "model.safetensors")
        self.weights = {
            name.removeprefix("bert.")
            .replace("LayerNorm.gamma", "LayerNorm.weight")
            .replace("LayerNorm.beta", "LayerNorm.bias"): value.astype(np.float64)
            for name, value in loaded.items()
            if value.dtype.kind == "f"
        }

    def hidden(self, tokens: list[int]) -> np.ndarray:
        """The last layer's vectors of each token."""
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][tokens]
        x = x + w["embeddings.position_embeddings.weight"][: len(tokens)]
        x = self._norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(self.config["num_hidden_layers"]):
            x = self._layer(x, f"encoder.layer.{layer}")
        return x

    def embedding(self, tokens: list[int], pooling: str = "mean") -> np.ndarray:
        """A text's vector, of length 1."""
        hidden = self.hidden(tokens)
        pooled = hidden.mean(axis=0) if pooling == "mean" else hidden[0]
        return pooled / np.linalg.norm(pooled)

    def score(self, tokens: list[int]) -> float:
        """What a cross-encoder says, before any squashing."""
        pooled = np.tanh(self._linear(self.hidden(tokens)[:1], "pooler.dense"))
        return self._linear(pooled, "classifier").item()

    def _layer(self, x: np.ndarray, at: str) -> np.ndarray:
        n, width = x.shape
        n_head = self.config["num_attention_heads"]
        q, k, v = (
            self._linear(x, f"{at}.attention.self.{part}").reshape(n, n_head, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        weights = q @ k.swapaxes(1, 2) / math.sqrt(width // n_head)
        weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        seen = (weights @ v).swapaxes(0, 1).reshape(n, width)
        seen = self._linear(seen, f"{at}.attention.output.dense")
        x = self._norm(x + seen, f"{at}.attention.output.LayerNorm")
        inner = self._linear(x, f"{at}.intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
        return self._norm(x + self._linear(inner, f"{at}.output.dense"), f"{at}.output.LayerNorm")

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.epsilon)
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

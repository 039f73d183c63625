"""Small encoders of several families with random weights, as hubs publish them, and in numpy.

Settings and tokenizers are written by ``transformers`` itself, weights under the names of its
models.  The arithmetic is float64, written from the papers and from those models, and shares no
code with what is tested.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tests.fakes.bert_folder import VOCABULARY, NumpyBert, change_json, erf, tokenizer, write_json
from tests.fakes.published_decoder import byte_tokenizer

N_EMBD, N_INNER, N_LAYER, N_HEAD, N_CTX = 32, 48, 4, 4, 64
_SIZES = {
    "hidden_size": N_EMBD,
    "intermediate_size": N_INNER,
    "num_hidden_layers": N_LAYER,
    "num_attention_heads": N_HEAD,
}
#: Pieces with scores, words with the sign that SentencePiece has for a space, and their letters.
_WORDS = ("\u2581the", "\u2581cat", "\u2581sat", "\u2581do", "og", "gs", "ing", "t", "at", "\u2581")
_LETTERS = "abcdefghijklmnopqrsuvwxyzABCDEFGHI0123456789.,!?é你好"
#: What SentencePiece puts in place of single signs.
SIGNS = {"ﬁ": "fi", "\uff21": "A", "\t": " ", "\n": " ", "…": "...", "\u200b": ""}


class _Random:
    """Tensors, the same ones each time."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.tensors: dict[str, np.ndarray] = {}

    def table(self, name: str, *shape: int, scale: float = 0.3) -> None:
        self.tensors[f"{name}.weight"] = self._random.normal(0, scale, shape).astype("f4")

    def linear(self, name: str, n_out: int, n_in: int) -> None:
        self.table(name, n_out, n_in)
        self.tensors[f"{name}.bias"] = self._random.normal(0, 0.1, n_out).astype("f4")

    def norm(self, name: str, *, bias: bool = True) -> None:
        self.tensors[f"{name}.weight"] = self._random.normal(1, 0.1, N_EMBD).astype("f4")
        if bias:
            self.tensors[f"{name}.bias"] = self._random.normal(0, 0.1, N_EMBD).astype("f4")


def roberta_folder(path: Path, *, family: str = "Roberta", head: bool = False) -> Path:
    """Write the folder of a RoBERTa; ``family`` may be ``XLMRoberta`` or ``Camembert``, too."""
    import transformers

    path.mkdir(parents=True)
    n_vocab = _write_pairs(path) if family == "Roberta" else _write_pieces(path)
    kind = "ForSequenceClassification" if head else "Model"
    config = getattr(transformers, f"{family}Config")(
        **_SIZES,
        vocab_size=n_vocab,
        max_position_embeddings=N_CTX + 2,
        type_vocab_size=1,
        pad_token_id=1,
        architectures=[f"{family}{kind}"],
    )
    config.num_labels = 1 if head else 2
    config.to_json_file(path / "config.json")
    random, at = _Random(3), "roberta." if head else ""
    random.table(f"{at}embeddings.word_embeddings", n_vocab, N_EMBD, scale=1)
    random.table(f"{at}embeddings.position_embeddings", N_CTX + 2, N_EMBD, scale=1)
    random.table(f"{at}embeddings.token_type_embeddings", 1, N_EMBD, scale=1)
    random.norm(f"{at}embeddings.LayerNorm")
    for layer in range(N_LAYER):
        block = f"{at}encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            random.linear(f"{block}.attention.{part}", N_EMBD, N_EMBD)
        random.norm(f"{block}.attention.output.LayerNorm")
        random.linear(f"{block}.intermediate.dense", N_INNER, N_EMBD)
        random.linear(f"{block}.output.dense", N_EMBD, N_INNER)
        random.norm(f"{block}.output.LayerNorm")
    if head:
        random.linear("classifier.dense", N_EMBD, N_EMBD)
        random.linear("classifier.out_proj", 1, N_EMBD)
    else:
        random.linear("pooler.dense", N_EMBD, N_EMBD)
    save_file(random.tensors, path / "model.safetensors")
    return path


def nomic_folder(path: Path, *, anew: bool = False) -> Path:
    """Write the folder of a NomicBert, as its authors spell it or ``anew``, as transformers do."""
    import transformers

    path.mkdir(parents=True)
    n_vocab = len(VOCABULARY) + 3  # as many as a machine computes well with
    if anew:
        transformers.NomicBertConfig(
            **_SIZES,
            vocab_size=n_vocab,
            max_position_embeddings=N_CTX,
            architectures=["NomicBertModel"],
        ).to_json_file(path / "config.json")
    else:
        said = {"n_embd": N_EMBD, "n_inner": N_INNER, "n_layer": N_LAYER, "n_head": N_HEAD}
        said |= {"n_positions": N_CTX, "max_trained_positions": 2048, "vocab_size": n_vocab}
        said |= {"type_vocab_size": 2, "layer_norm_epsilon": 1e-12, "rotary_emb_base": 1000}
        said |= {"activation_function": "swiglu", "rotary_emb_fraction": 1.0, "prenorm": False}
        said |= {"qkv_proj_bias": False, "mlp_fc1_bias": False, "rotary_scaling_factor": None}
        write_json(path / "config.json", {"architectures": ["NomicBertModel"], **said})
    write_json(path / "tokenizer.json", tokenizer())
    write_json(path / "tokenizer_config.json", {"do_lower_case": True})
    random = _Random(4)
    random.table("embeddings.word_embeddings", n_vocab, N_EMBD, scale=1)
    random.table("embeddings.token_type_embeddings", 2, N_EMBD, scale=1)
    random.norm("emb_ln")
    for layer in range(N_LAYER):
        at = f"encoder.layers.{layer}"
        random.table(f"{at}.attn.Wqkv", 3 * N_EMBD, N_EMBD)
        random.table(f"{at}.attn.out_proj", N_EMBD, N_EMBD)
        random.norm(f"{at}.norm1")
        for part in ("fc11", "fc12"):
            random.table(f"{at}.mlp.{part}", N_INNER, N_EMBD)
        random.table(f"{at}.mlp.fc2", N_EMBD, N_INNER)
        random.norm(f"{at}.norm2")
    save_file(_anew(random.tensors) if anew else random.tensors, path / "model.safetensors")
    return path


def modernbert_folder(path: Path, *, head: bool = False, **config: Any) -> Path:
    """Write the folder of a ModernBERT with a window of 8 tokens; ``config`` sets more."""
    import transformers

    path.mkdir(parents=True)
    n_vocab = _write_modern_pairs(path)
    kind = "ForSequenceClassification" if head else "Model"
    said = transformers.ModernBertConfig(
        **_SIZES,
        vocab_size=n_vocab,
        max_position_embeddings=N_CTX,
        local_attention=8,
        pad_token_id=0,
        bos_token_id=1,
        cls_token_id=1,
        eos_token_id=2,
        sep_token_id=2,
        architectures=[f"ModernBert{kind}"],
    )
    said.num_labels = 1 if head else 2
    said.to_json_file(path / "config.json")
    change_json(path / "config.json", **config)
    random, at = _Random(5), "model." if head else ""
    random.table(f"{at}embeddings.tok_embeddings", n_vocab, N_EMBD, scale=1)
    random.norm(f"{at}embeddings.norm", bias=False)
    for layer in range(N_LAYER):
        block = f"{at}layers.{layer}"
        if layer:
            random.norm(f"{block}.attn_norm", bias=False)
        random.table(f"{block}.attn.Wqkv", 3 * N_EMBD, N_EMBD)
        random.table(f"{block}.attn.Wo", N_EMBD, N_EMBD)
        random.norm(f"{block}.mlp_norm", bias=False)
        random.table(f"{block}.mlp.Wi", 2 * N_INNER, N_EMBD)
        random.table(f"{block}.mlp.Wo", N_EMBD, N_INNER)
    random.norm(f"{at}final_norm", bias=False)
    if head:
        random.table("head.dense", N_EMBD, N_EMBD)
        random.norm("head.norm", bias=False)
        random.linear("classifier", 1, N_EMBD)
    save_file(random.tensors, path / "model.safetensors")
    return path


def pools_by(folder: Path, how: str) -> None:
    """Have a folder say how vectors become one, as sentence-transformers does: ``cls``."""
    (folder / "1_Pooling").mkdir()
    write_json(folder / "1_Pooling" / "config.json", {"pooling_mode": how})
    steps = [f"sentence_transformers.models.{kind}" for kind in ("Transformer", "Pooling")]
    write_json(folder / "modules.json", [{"idx": n, "type": kind} for n, kind in enumerate(steps)])


def charsmap(signs: dict[str, str]) -> bytes:
    """SentencePiece's compiled table: a tree as a double array, then what stands in place.

    A node's branches lie in a block of 256 units of its own.  Source: the format of darts-clone.
    """
    nodes: list[dict[int, int]] = [{}]  # branches: byte to number of the node
    values: dict[int, int] = {}
    texts = b""
    for sign, text in signs.items():
        node = 0
        for byte in sign.encode():
            if byte not in nodes[node]:
                nodes[node][byte] = len(nodes)
                nodes.append({})
            node = nodes[node][byte]
        values[node] = len(texts)
        texts += text.encode() + b"\0"
    units = np.zeros((len(nodes) + 1) * 256, "<u4")

    def place(number: int, at: int, label: int) -> None:
        base = 256 * (number + 1)
        units[at] = (at ^ base) << 10 | (number in values) << 8 | label
        if number in values:
            units[base] = 1 << 31 | values[number]
        for byte, child in nodes[number].items():
            place(child, base ^ byte, byte)

    place(0, 0, 0)
    return units.nbytes.to_bytes(4, "little") + units.tobytes() + texts


class NumpyRoberta(NumpyBert):
    """A RoBERTa: a BERT whose positions count from the third row on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.weights = {name.removeprefix("roberta."): w for name, w in self.weights.items()}
        table = "embeddings.position_embeddings.weight"
        self.weights[table] = self.weights[table][2:]
        self.epsilon = self.config["layer_norm_eps"]

    def score(self, tokens: list[int]) -> float:
        inner = np.tanh(self._linear(self.hidden(tokens)[:1], "classifier.dense"))
        return self._linear(inner, "classifier.out_proj").item()


class NumpyTurning(NumpyBert):
    """What encoders have in common whose positions turn queries and keys."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.weights = {name.removeprefix("model."): w for name, w in self.weights.items()}

    def _attend(self, qkv: np.ndarray, base: float, window: int | None) -> np.ndarray:
        n = len(qkv)
        q, k, v = qkv.reshape(n, 3, N_HEAD, -1).transpose(1, 2, 0, 3)
        q, k = _turned(q, base), _turned(k, base)
        weights = q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1])
        if window is not None:
            far = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) > window
            weights = np.where(far, -np.inf, weights)
        weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return (weights @ v).swapaxes(0, 1).reshape(n, -1)

    def _times(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T


class NumpyNomic(NumpyTurning):
    """The reference of NomicBert, from the spelling of its authors."""

    def hidden(self, tokens: list[int]) -> np.ndarray:
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][tokens]
        x = self._norm(x + w["embeddings.token_type_embeddings.weight"][0], "emb_ln")
        for layer in range(N_LAYER):
            at = f"encoder.layers.{layer}"
            seen = self._attend(self._times(x, f"{at}.attn.Wqkv"), 1000.0, None)
            x = self._norm(x + self._times(seen, f"{at}.attn.out_proj"), f"{at}.norm1")
            gate = self._times(x, f"{at}.mlp.fc12")
            inner = self._times(x, f"{at}.mlp.fc11") * gate / (1 + np.exp(-gate))
            x = self._norm(x + self._times(inner, f"{at}.mlp.fc2"), f"{at}.norm2")
        return x


class NumpyModern(NumpyTurning):
    """The reference of ModernBERT."""

    epsilon = 1e-5

    def hidden(self, tokens: list[int]) -> np.ndarray:
        x = self.weights["embeddings.tok_embeddings.weight"][tokens]
        x = self._scaled(x, "embeddings.norm")
        for layer, kind in enumerate(self._kinds()):
            at = f"layers.{layer}"
            inside = kind == "sliding_attention"
            seen = self._scaled(x, f"{at}.attn_norm") if layer else x
            qkv = self._times(seen, f"{at}.attn.Wqkv")
            base, window = (10_000.0, 4) if inside else (160_000.0, None)
            x = x + self._times(self._attend(qkv, base, window), f"{at}.attn.Wo")
            inner, gate = np.split(
                self._times(self._scaled(x, f"{at}.mlp_norm"), f"{at}.mlp.Wi"), 2, axis=-1
            )
            x = x + self._times(self._active(inner) * gate, f"{at}.mlp.Wo")
        return self._scaled(x, "final_norm")

    def score(self, tokens: list[int]) -> float:
        hidden = self.hidden(tokens)
        is_mean = self.config["classifier_pooling"] == "mean"
        pooled = hidden.mean(axis=0, keepdims=True) if is_mean else hidden[:1]
        pooled = self._times(pooled, "head.dense")
        pooled = self._scaled(0.5 * pooled * (1 + erf(pooled / math.sqrt(2))), "head.norm")
        return self._linear(pooled, "classifier").item()

    def _kinds(self) -> list[str]:
        kinds = self.config.get("layer_types")
        n = self.config.get("global_attn_every_n_layers")
        ours = ["sliding_attention" if n and i % n else "full_attention" for i in range(N_LAYER)]
        return kinds or ours

    def _active(self, x: np.ndarray) -> np.ndarray:
        if self.config["hidden_activation"] == "silu":
            return x / (1 + np.exp(-x))
        return 0.5 * x * (1 + erf(x / math.sqrt(2)))

    def _scaled(self, x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.epsilon)
        return x * self.weights[f"{name}.weight"]


def _turned(x: np.ndarray, base: float) -> np.ndarray:
    """Each head's halves turned against each other by its token's place."""
    n, width = x.shape[-2:]
    angles = np.outer(np.arange(n), base ** (-np.arange(0, width, 2) / width))
    left, right = np.split(x, 2, axis=-1)
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1)


def _anew(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The names that transformers has for what the authors of NomicBert call otherwise."""
    names = {"encoder.layers": "layers", "emb_ln": "embeddings.LayerNorm", "fc11": "up_proj"}
    names |= {"attn.out_proj": "self_attn.o_proj", "fc12": "gate_proj", "fc2": "down_proj"}
    names |= {"norm1": "post_attention_layernorm", "norm2": "post_mlp_layernorm"}
    found = {}
    for name, value in tensors.items():
        for theirs, new in names.items():
            name = name.replace(theirs, new)
        if "Wqkv" not in name:
            found[name] = value
            continue
        for part, rows in zip("qkv", np.split(value, 3), strict=True):
            found[name.replace("attn.Wqkv", f"self_attn.{part}_proj")] = rows.copy()
    return found


def _write_pairs(path: Path) -> int:
    """RoBERTa's own tokenizer of pairs of bytes; returns how many tokens there are."""
    from transformers import RobertaTokenizer

    bytes_alone = byte_tokenizer()["model"]
    first = ("<s>", "<pad>", "</s>", "<unk>")
    words = ["he", "Ġt", "Ġthe", "at", "Ġcat"]
    tokens = [*first, *bytes_alone["vocab"], *words, "<mask>"]
    merges = [("t", "h"), ("h", "e"), ("Ġ", "t"), ("Ġt", "he"), ("a", "t"), ("Ġc", "at")]
    tokens.insert(-1, "Ġc")
    merges.insert(5, ("Ġ", "c"))
    made = RobertaTokenizer(vocab={token: n for n, token in enumerate(tokens)}, merges=merges)
    made.save_pretrained(path)
    return len(tokens)


def _write_pieces(path: Path) -> int:
    """XLM-RoBERTa's own tokenizer of pieces; returns how many tokens there are."""
    from transformers import XLMRobertaTokenizer

    first = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    words = [(word, -1.5 - 0.25 * n) for n, word in enumerate(_WORDS)]
    letters = [(letter, -6.0 - 0.125 * n) for n, letter in enumerate(_LETTERS)]
    vocab = [*first, *words, *letters, ("<mask>", 0.0)]
    made = XLMRobertaTokenizer(vocab=vocab, _spm_precompiled_charsmap=charsmap(SIGNS))
    made.save_pretrained(path)
    return len(vocab)


def _write_modern_pairs(path: Path) -> int:
    """A tokenizer as that of ModernBERT; returns how many rows of the table there are."""
    said = byte_tokenizer()
    first = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "<|endoftext|>"]
    tokens = [*first, *said["model"]["vocab"], "  ", "|||IP_ADDRESS|||"]
    said["model"]["vocab"] = {token: n for n, token in enumerate(tokens[:-2])}
    added = {**dict(enumerate(first)), **{len(tokens) - n: tokens[-n] for n in (2, 1)}}
    said["added_tokens"] = [
        {"id": n, "content": token, "special": n < len(first), "single_word": False}
        | {"lstrip": False, "rstrip": False, "normalized": n >= len(first)}
        for n, token in added.items()
    ]
    around = {name: {"SpecialToken": {"id": name, "type_id": 0}} for name in ("[CLS]", "[SEP]")}
    text, other = ({"Sequence": {"id": which, "type_id": 0}} for which in "AB")
    said["normalizer"] = {"type": "NFC"}
    said["version"], said["truncation"], said["padding"] = "1.0", None, None
    said["decoder"] = {
        **{"type": "ByteLevel", "add_prefix_space": True},
        **{"trim_offsets": True, "use_regex": True},
    }
    said["pre_tokenizer"]["trim_offsets"] = True
    said["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [around["[CLS]"], text, around["[SEP]"]],
        "pair": [around["[CLS]"], text, around["[SEP]"], other, around["[SEP]"]],
        "special_tokens": {
            name: {"id": name, "ids": [first.index(name)], "tokens": [name]} for name in around
        },
    }
    write_json(path / "tokenizer.json", said)
    names = {f"{role}_token": f"[{role.upper()}]" for role in ("pad", "cls", "sep", "mask", "unk")}
    write_json(path / "tokenizer_config.json", names)
    return len(tokens) + 1

"""A GGUF model as a folder of Hugging Face's layout: the way back of what ``convert`` does."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save_file

_BLOCK = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
#: How a folder says what llama.cpp calls by a name.
PRE_TOKENIZERS = {
    "smollm": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        ],
    },
    "gpt-2": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
}


def decoder_folder(source: Path, folder: Path, *, dtype: type = np.float16) -> Path:
    """Write the GGUF ``source``, of llama, qwen2 or qwen3, as a folder and return that.

    Args:
        source: Quantized or not.
        folder: Made.
        dtype: Of the tensors; what was quantized is taken apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reader = gguf.GGUFReader(source)
    keys = {name: field.contents() for name, field in reader.fields.items()}
    kind = keys["general.architecture"]
    n_head = keys[f"{kind}.attention.head_count"]
    n_head_kv = keys[f"{kind}.attention.head_count_kv"]
    tensors = {}
    for tensor in reader.tensors:
        array = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(dtype)
        name = theirs(tensor.name)
        if kind == "llama" and ("q_proj" in name or "k_proj" in name):
            array = turned_back(array, n_head if "q_proj" in name else n_head_kv)
        tensors[name] = np.ascontiguousarray(array)
    save_file(tensors, folder / "model.safetensors")
    write(folder / "config.json", config_of(keys, kind, "output.weight" in names(reader)))
    write(folder / "tokenizer.json", tokenizer_of(keys))
    tokens = keys["tokenizer.ggml.tokens"]
    settings = {
        f"{role}_token": tokens[keys[f"tokenizer.ggml.{word}_token_id"]]
        for role, word in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
        if f"tokenizer.ggml.{word}_token_id" in keys
    }
    if "tokenizer.chat_template" in keys:
        settings["chat_template"] = keys["tokenizer.chat_template"]
    settings["add_bos_token"] = bool(keys.get("tokenizer.ggml.add_bos_token"))
    write(folder / "tokenizer_config.json", settings)
    return folder


def names(reader: gguf.GGUFReader) -> set[str]:
    return {tensor.name for tensor in reader.tensors}


def theirs(name: str) -> str:
    """The name that a folder has for a tensor."""
    plain = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
    if name in plain:
        return plain[name]
    _, layer, module, part = name.split(".")
    return f"model.layers.{layer}.{_BLOCK[module]}.{part}"


def turned_back(array: np.ndarray, n_heads: int) -> np.ndarray:
    pairs = array.reshape(n_heads, array.shape[0] // n_heads // 2, 2, *array.shape[1:])
    return pairs.swapaxes(1, 2).reshape(array.shape)


def config_of(keys: dict, kind: str, has_head: bool) -> dict:
    config = {
        "architectures": [_CLASSES[kind]],
        "hidden_size": keys[f"{kind}.embedding_length"],
        "intermediate_size": keys[f"{kind}.feed_forward_length"],
        "num_hidden_layers": keys[f"{kind}.block_count"],
        "num_attention_heads": keys[f"{kind}.attention.head_count"],
        "num_key_value_heads": keys[f"{kind}.attention.head_count_kv"],
        "max_position_embeddings": keys[f"{kind}.context_length"],
        "rms_norm_eps": keys[f"{kind}.attention.layer_norm_rms_epsilon"],
        "rope_theta": keys.get(f"{kind}.rope.freq_base", 10000.0),
        "vocab_size": len(keys["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": not has_head,
        "hidden_act": "silu",
    }
    if f"{kind}.attention.key_length" in keys:
        config["head_dim"] = keys[f"{kind}.attention.key_length"]
    return config


def tokenizer_of(keys: dict) -> dict:
    """``tokenizer.json`` of byte pairs, or of SentencePiece's kind."""
    tokens, kinds = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    control = {i for i, kind in enumerate(kinds) if kind == gguf.TokenType.CONTROL}
    is_bytes = keys["tokenizer.ggml.model"] == "gpt2"
    unknown = keys.get("tokenizer.ggml.unknown_token_id")
    model = {
        "type": "BPE",
        "byte_fallback": not is_bytes,
        "unk_token": None if is_bytes or unknown is None else tokens[unknown],
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": keys.get("tokenizer.ggml.merges") or ["a b"],
    }
    pre = keys.get("tokenizer.ggml.pre", "")
    return {
        "added_tokens": [{"id": i, "content": tokens[i], "special": True} for i in sorted(control)],
        "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZERS.get(pre) if is_bytes else None,
        "post_processor": None,
        "model": model,
    }


def write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")

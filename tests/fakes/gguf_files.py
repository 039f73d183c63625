"""Small GGUF files for tests, written by the ``gguf`` package or byte by byte."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np

TYPES = {"u8": 0, "u16": 2, "u32": 4, "i32": 5, "f32": 6, "bool": 7, "str": 8, "arr": 9, "u64": 10}


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def key(name: str, type_name: str, value: Any = None, raw: bytes | None = None) -> bytes:
    """One key and its value; ``raw`` stands for a value that ``struct`` would refuse to write."""
    if raw is None:
        letters = {"u8": "B", "u16": "H", "u32": "I", "i32": "i", "f32": "f", "u64": "Q"}
        if type_name == "str":
            raw = string(value)
        elif type_name == "bool":
            raw = bytes([value])
        else:
            raw = struct.pack(f"<{letters[type_name]}", value)
    return string(name) + struct.pack("<I", TYPES[type_name]) + raw


def array(name: str, element: str, count: int, raw: bytes) -> bytes:
    return key(name, "arr", raw=struct.pack("<IQ", TYPES[element], count) + raw)


def tensor(name: str, shape: tuple[int, ...], type_id: int = 0, offset: int = 0) -> bytes:
    return (
        string(name)
        + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        + struct.pack("<IQ", type_id, offset)
    )


def document(
    keys: list[bytes],
    tensors: list[bytes],
    *,
    version: int = 3,
    n_keys: int | None = None,
    n_tensors: int | None = None,
    alignment: int = 32,
    data: bytes = b"",
) -> bytes:
    """A whole file; the counts tell the truth unless given."""
    head = b"GGUF" + struct.pack(
        "<IQQ",
        version,
        len(tensors) if n_tensors is None else n_tensors,
        len(keys) if n_keys is None else n_keys,
    )
    head += b"".join(keys) + b"".join(tensors)
    return head + b"\0" * (-len(head) % alignment) + data


def small() -> bytes:
    """A valid file of two tensors and one key of every kind."""
    keys = [
        key("general.architecture", "str", "llama"),
        key("general.file_type", "u32", 1),
        key("llama.block_count", "u32", 2),
        key("llama.context_length", "u32", 128),
        key("llama.rope.freq_base", "f32", 1e4),
        key("tokenizer.ggml.add_bos_token", "bool", True),
        array("tokenizer.ggml.tokens", "str", 3, string("a") + string("b") + string(b"\xff")),
        array("tokenizer.ggml.scores", "f32", 3, struct.pack("<3f", 0, 1, 2)),
        key("tokenizer.chat_template", "str", "{{ messages }}"),
    ]
    tensors = [tensor("token_embd.weight", (8, 3)), tensor("output.weight", (32, 2), 8, 96)]
    return document(keys, tensors, data=bytes(96 + 68))


def write_model(path: Path, *, n_embd: int = 32, n_vocab: int = 64, seed: int = 0) -> Path:
    """A file that has all a llama model has, of about ``n_embd * n_vocab * 4`` bytes."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(256)
    writer.add_embedding_length(n_embd)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_file_type(0)
    writer.add_license("apache-2.0")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token{i}" for i in range(n_vocab)])
    writer.add_chat_template("{{ messages }} {{ tools }} <think>")
    rng = np.random.default_rng(seed)
    writer.add_tensor("token_embd.weight", rng.random((n_vocab, n_embd), dtype=np.float32))
    writer.add_tensor("output_norm.weight", np.ones(n_embd, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

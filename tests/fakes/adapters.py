"""A small llama with random weights, and LoRA adapters for it: their answers differ."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from tests.fakes.models import CHATML, CONTROL

_N_EMBD, _N_INNER, _N_LAYER, _N_HEAD = 64, 128, 2, 4
_SHAPES = {
    "attn_q": (_N_EMBD, _N_EMBD),
    "attn_k": (_N_EMBD, _N_EMBD),
    "attn_v": (_N_EMBD, _N_EMBD),
    "attn_output": (_N_EMBD, _N_EMBD),
    "ffn_gate": (_N_INNER, _N_EMBD),
    "ffn_up": (_N_INNER, _N_EMBD),
    "ffn_down": (_N_EMBD, _N_INNER),
}


def adaptable_model(path: Path, *, n_ctx_train: int = 2048, seed: int = 0) -> Path:
    """Write a llama whose every answer depends on all of its prompt, and return ``path``."""
    kind = gguf.TokenType
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *CONTROL, "▁"]
    types = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL, *[kind.BYTE] * 256]
    types += [*[kind.CONTROL] * len(CONTROL), kind.NORMAL]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(n_ctx_train)
    writer.add_embedding_length(_N_EMBD)
    writer.add_block_count(_N_LAYER)
    writer.add_feed_forward_length(_N_INNER)
    writer.add_head_count(_N_HEAD)
    writer.add_head_count_kv(_N_HEAD)
    writer.add_rope_dimension_count(_N_EMBD // _N_HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHATML)
    random = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return random.normal(0, 1.5 / np.sqrt(shape[-1]), shape).astype(np.float32)

    writer.add_tensor("token_embd.weight", weights(len(tokens), _N_EMBD) * 8)
    writer.add_tensor("output.weight", weights(len(tokens), _N_EMBD) * 4)
    writer.add_tensor("output_norm.weight", np.ones(_N_EMBD, np.float32))
    for layer in range(_N_LAYER):
        for name, shape in _SHAPES.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(*shape))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(_N_EMBD, np.float32))
    return _finish(writer, path)


def adapter(
    path: Path,
    *,
    seed: int = 1,
    architecture: str = "llama",
    kind: str = "lora",
    half: bool = False,
) -> Path:
    """Write a LoRA adapter of rank 4 for ``adaptable_model`` and return ``path``.

    Args:
        path: File to write.
        seed: Adapters of different seeds change the answers differently.
        architecture: Of the models it claims to be for.
        kind: Its ``adapter.type``.
        half: Whether the second halves of its pairs are missing.
    """
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, kind)
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 8.0)
    random = np.random.default_rng(seed)
    for layer in range(_N_LAYER):
        for name in ("attn_q", "attn_v", "ffn_down"):
            n_out, n_in = _SHAPES[name]
            a = random.normal(0, 0.2, (4, n_in)).astype(np.float32)
            b = random.normal(0, 0.5, (n_out, 4)).astype(np.float32)
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_a", a)
            if not half:
                writer.add_tensor(f"blk.{layer}.{name}.weight.lora_b", b)
    return _finish(writer, path)


def _finish(writer: gguf.GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

"""Tiny GGUF models that the real engine loads in milliseconds, with whatever chat template.

The model has no wisdom: its one layer adds nothing, so each byte alone decides the next.  It says
the bytes of one text in order, from the beginning unless the prompt ends with one of them.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

#: Wraps each turn in control tokens, as ChatML does.
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
RAISING = "{{ raise_exception('only two turns, please') }}"
ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
#: Doubles what it holds without printing or multiplying, so that no limit on either sees it.
BOMB = "{% set ns = namespace(x=['a' * 1000000]) %}{% for i in range(64) %}" + (
    "{% set ns.x = ns.x + [ns.x | join('')] %}{% endfor %}"
)

#: The control tokens that follow the 256 bytes.
CONTROL = ("<|im_start|>", "<|im_end|>")
_UNK, _BOS, _EOS, _FIRST_BYTE = 0, 1, 2, 3
_N_EMBD = 32


def tiny_model(
    path: Path,
    *,
    template: str | None = CHATML,
    says: str = "abcdefghijklmnopqrstuvwxyz",
    ends: bool = False,
    n_ctx_train: int = 2048,
    name: str = "tiny",
) -> Path:
    """Write a model of about 100 KB and return ``path``.

    Every byte is a token (id 3 + byte), space and the control tokens have tokens of their own.

    Args:
        path: File to write.
        template: Its chat template; ``None``: it has none.
        says: Its answer; at most 31 bytes of UTF-8, all different.
        ends: Whether the end-of-sequence token follows ``says``; else it begins again.
        n_ctx_train: Context length in its header, in tokens.
        name: Its name in the header.
    """
    steps = list(says.encode())
    assert 0 < len(steps) == len(set(steps)) < _N_EMBD, "each byte must say which comes next"
    tokens, types = _vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_context_length(n_ctx_train)
    writer.add_embedding_length(_N_EMBD)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_N_EMBD)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(_N_EMBD // 2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(types)
    writer.add_unk_token_id(_UNK)
    writer.add_bos_token_id(_BOS)
    writer.add_eos_token_id(_EOS)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    if template is not None:
        writer.add_chat_template(template)
    for tensor, weights in _weights(steps, len(tokens), ends=ends).items():
        writer.add_tensor(tensor, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _vocabulary() -> tuple[list[str], list[int]]:
    kind = gguf.TokenType
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL, *[kind.BYTE] * 256]
    # llama.cpp writes a space as U+2581, which no byte token turns back.
    return [*tokens, *CONTROL, "▁"], [*types, *[kind.CONTROL] * len(CONTROL), kind.NORMAL]


def _weights(steps: list[int], n_vocab: int, *, ends: bool) -> dict[str, np.ndarray]:
    """Byte ``i`` of the answer lies on axis ``i``, everything else on the axis after the last."""
    embd = np.zeros((n_vocab, _N_EMBD), np.float32)
    output = np.zeros((n_vocab, _N_EMBD), np.float32)
    embd[:, len(steps)] = 1
    following = [*steps[1:], steps[0]]
    for axis, (byte, after) in enumerate(zip(steps, following, strict=True)):
        embd[_FIRST_BYTE + byte] = np.eye(_N_EMBD)[axis]
        is_last = axis == len(steps) - 1
        output[_EOS if ends and is_last else _FIRST_BYTE + after, axis] = 20
    output[_FIRST_BYTE + steps[0], len(steps)] = 20
    ones = np.ones(_N_EMBD, np.float32)
    zeros = np.zeros((_N_EMBD, _N_EMBD), np.float32)
    block = {
        f"blk.0.{part}.weight": zeros
        for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    }
    norms = {"blk.0.attn_norm.weight": ones, "blk.0.ffn_norm.weight": ones}
    return {
        "token_embd.weight": embd,
        "output_norm.weight": ones,
        "output.weight": output,
        **block,
        **norms,
    }

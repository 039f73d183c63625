"""A llama wide enough for every storage type: those with large blocks need rows of 256."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from tests.fakes.models import CONTROL

N_EMBD, N_FF, N_HEAD, N_LAYER = 256, 512, 4, 2
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TOKENS = ["<unk>", "<s>", "</s>", *_BYTES, *CONTROL, "▁"]


def wide_llama(
    path: Path,
    *,
    seed: int = 0,
    dtype: str = "f16",
    n_layer: int = N_LAYER,
    more: tuple[str, ...] = (),
) -> Path:
    """Write a random model of about 3 MB in ``dtype`` (``f16`` or ``f32``) and return ``path``.

    ``more`` are tokens beside the usual ones.
    """
    tokens = [*TOKENS, *more]
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("wide")
    kinds = {"f16": gguf.LlamaFileType.MOSTLY_F16, "f32": gguf.LlamaFileType.ALL_F32}
    writer.add_file_type(kinds[dtype])
    writer.add_context_length(1024)
    writer.add_embedding_length(N_EMBD)
    writer.add_block_count(n_layer)
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(N_HEAD)
    writer.add_head_count_kv(N_HEAD)
    writer.add_rope_dimension_count(N_EMBD // N_HEAD)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    kind = gguf.TokenType
    ends = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL]
    kinds_of = [*ends, *[kind.BYTE] * 256, *[kind.CONTROL] * len(CONTROL), kind.NORMAL]
    writer.add_token_types([*kinds_of, *[kind.NORMAL] * len(more)])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    for name, shape in shapes(n_layer, len(tokens)).items():
        if len(shape) == 1:
            weights = np.ones(shape, np.float32)
        else:
            weights = rng.normal(0, 0.1, shape).astype(np.float16 if dtype == "f16" else np.float32)
        writer.add_tensor(name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def shapes(n_layer: int = N_LAYER, n_vocab: int = len(TOKENS)) -> dict[str, tuple[int, ...]]:
    """Every tensor's shape, as numpy counts."""
    found: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (n_vocab, N_EMBD),
        "output_norm.weight": (N_EMBD,),
        "output.weight": (n_vocab, N_EMBD),
    }
    for layer in range(n_layer):
        at = f"blk.{layer}."
        found |= {f"{at}attn_{part}.weight": (N_EMBD, N_EMBD) for part in ("q", "k", "v", "output")}
        found |= {f"{at}{part}_norm.weight": (N_EMBD,) for part in ("attn", "ffn")}
        found |= {f"{at}ffn_{part}.weight": (N_FF, N_EMBD) for part in ("gate", "up")}
        found[f"{at}ffn_down.weight"] = (N_EMBD, N_FF)
    return found


def importance_matrix(path: Path, *, names: tuple[str, ...] = (), width: int = 0) -> Path:
    """Write an importance matrix in GGUF for ``names``, or all that may have one.

    Args:
        path: File to write.
        names: Tensors.
        width: Numbers of each; 0: as many as the tensor has columns.
    """
    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "imatrix")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["test.txt"])
    writer.add_uint32("imatrix.chunk_count", 3)
    writer.add_uint32("imatrix.chunk_size", 512)
    for name, shape in shapes().items():
        if len(shape) == 2 and name.startswith("blk.") and (not names or name in names):
            sums = rng.uniform(0.1, 9, (1, width or shape[1])).astype(np.float32)
            writer.add_tensor(f"{name}.in_sum2", sums)
            writer.add_tensor(f"{name}.counts", np.array([[3.0]], np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

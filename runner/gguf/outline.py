"""What placement wants to know of a model, from its header."""

from __future__ import annotations

from runner.domain.placement import Outline
from runner.gguf.keys import Keys
from runner.gguf.reader import Header

_MAX_LAYERS = 512  # llama-hparams.h: LLAMA_MAX_LAYERS


def outline_of(header: Header, n_bytes: int) -> Outline:
    """Return the outline of a model whose files have ``n_bytes``.

    What its file says for each layer counts for all as the largest of them.

    Raises:
        BadModelFile: A key has a value of the wrong type or out of range; the message names it.
    """
    keys = Keys(header.metadata)
    name = keys.text("general.architecture")
    n_blocks = keys.integer(f"{name}.block_count", high=_MAX_LAYERS)

    def most(key: str) -> int:
        return max(keys.integers(f"{name}.attention.{key}", n_blocks, 0), default=0)

    return Outline(
        n_blocks=n_blocks,
        n_bytes=n_bytes,
        n_embd=keys.integer(f"{name}.embedding_length"),
        n_head=most("head_count"),
        n_head_kv=most("head_count_kv"),
        head_width=keys.integer(f"{name}.attention.key_length"),
        n_vocab=keys.length("tokenizer.ggml.tokens") or keys.integer(f"{name}.vocab_size"),
    )

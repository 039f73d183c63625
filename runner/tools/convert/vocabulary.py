"""What all vocabularies have in common: a token for each row of the embedding, each only once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import gguf

from runner.errors import BadModelFile


class Vocabulary(Protocol):
    """What text becomes tokens by."""

    def write(self, writer: gguf.GGUFWriter, n_vocab: int) -> None:
        """Add its keys; raises as ``filled_up`` does."""
        ...


def filled_up(tokens: Sequence[str | None], n_vocab: int) -> list[str]:
    """Return ``n_vocab`` tokens; those that there are not get a name that no text has.

    Raises:
        BadModelFile: There are more tokens than rows of the embedding, or one is there twice,
            which ends the process in which llama.cpp reads it.
    """
    if len(tokens) > n_vocab:
        raise BadModelFile(f"{len(tokens)} tokens, but the model knows only {n_vocab}")
    known: dict[str, int] = {}
    for token_id, token in enumerate([*tokens, *[None] * (n_vocab - len(tokens))]):
        name = f"[PAD{token_id}]" if token is None else token
        if known.setdefault(name, token_id) != token_id:
            raise BadModelFile(
                f"the tokens {known[name]} and {token_id} of the vocabulary are both {name!r}"
            )
    return list(known)

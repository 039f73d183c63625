"""Loads a small model that guesses for a large one, once it is clear that it can."""

from __future__ import annotations

from msgspec import structs

from runner.engine.draft_model import DraftModel
from runner.engine.llama.backend import LlamaBackend
from runner.engine.llama.model import Model
from runner.errors import WorkerError
from runner.protocol.messages import Load


def load_draft(
    load: Load, large: LlamaBackend, devices: tuple[tuple[int, int], ...] | None = None
) -> DraftModel:
    """Load the draft model that ``load`` names, with a cache as large as the large one's.

    ``devices`` as in ``ModelParams``.

    Raises:
        WorkerError: It has other tokens, its state cannot be cut, or llama.cpp refuses the file.
        NotEnoughMemory: There is none for its cache.
    """
    try:
        alone = structs.replace(
            load, path=load.draft_path, adapters=(), shards=(), projector_path=""
        )
        small = LlamaBackend(alone, devices)
    except WorkerError as error:
        raise WorkerError(f"the draft model: {error.message}", hint=error.hint) from None
    try:
        _check(small.model, large.model)
    except WorkerError:
        small.close()
        raise
    large.helper = small
    share = small.model.n_bytes / max(1, large.model.n_bytes)
    return DraftModel(small, small.model, share=share)


def _check(small: Model, large: Model) -> None:
    """Refuse a draft model whose guesses would be other tokens, or could not be taken back."""
    hint = "take a draft model of the same family, or leave DRAFT out of the Modelfile"
    if small.n_vocab != large.n_vocab:
        raise WorkerError(
            f"the draft model has {small.n_vocab} tokens, the model has {large.n_vocab}", hint=hint
        )
    for token in range(large.n_vocab):
        if small.spelling(token) != large.spelling(token):
            raise WorkerError(
                f"the draft model spells token {token} {small.spelling(token)!r},"
                f" the model {large.spelling(token)!r}",
                hint=hint,
            )
    if not small.can_be_cut:
        raise WorkerError("the draft model's state cannot be cut, so it cannot guess", hint=hint)

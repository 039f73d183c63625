"""What a model needs of memory, and what there is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeviceNeed:
    """What would go to an accelerator.

    Attributes:
        device: Its name, or the address of a machine that shares it.
        n_layers: Layers of the model, its output counting as one.
        n_needed: Bytes that they take there.
        n_free: Bytes that are free there.
    """

    device: str
    n_layers: int
    n_needed: int
    n_free: int


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What loading a model would take, in bytes; contexts in tokens.

    Attributes:
        n_weights: Its tensors.
        n_kv: Cache of keys and values, and states of sequences.
        n_compute: What a step needs for itself.
        n_output: The numbers that a step gives.
        n_projector: Its eyes or ears.
        n_draft: The small model that guesses for it.
        n_needed: Main memory that must be free for it: of all this, what is really used there.
        n_accelerator: What of it is on accelerators, all together.
        n_free: Main memory that is free, or would be when all that is idle had gone.
        n_ctx: Context of one conversation that it would get.
        n_cells: Cells of its cache.
        n_ctx_asked: Context that was asked for; 0: none.
        fits: Whether it can be loaded.
        advice: What would make it fit, or fit better, in words.
        n_layers: Its layers, the output counting as one; 0: not told.
        placed: What of them goes to which accelerator; those left are in main memory.
        note: Why less goes there than was wanted; empty: it is as it should be.
    """

    n_weights: int
    n_kv: int
    n_compute: int
    n_output: int
    n_projector: int
    n_draft: int
    n_needed: int
    n_accelerator: int
    n_free: int
    n_ctx: int
    n_cells: int
    n_ctx_asked: int = 0
    fits: bool = True
    advice: tuple[str, ...] = ()
    n_layers: int = 0
    placed: tuple[DeviceNeed, ...] = ()
    note: str = ""

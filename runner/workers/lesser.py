"""What to do with less of, when a model's process found no memory or died.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from runner.protocol.messages import Load

_SMALL_BATCH = 64  # tokens of a step; fewer save next to nothing
_PAD = 256  # llama.cpp's own step of a context


@dataclass(frozen=True, slots=True)
class Less:
    """A load that takes less, and in words what it goes without."""

    load: Load
    note: str


def lesser(
    load: Load,
    *,
    n_least: int,
    n_layers: int = 0,
    has_accelerator: bool = False,
    is_fault: bool = False,
) -> Less | None:
    """Return the next smaller load; ``None`` when there is none that would still do.

    First goes what only makes things faster: cells beyond one conversation, prompts kept beside
    the cache.  Then layers leave the accelerator, half of them and then all; then a step computes
    less at once; then the context is halved, down to what is needed.  After a fault of the program
    the accelerator is first: it is nearly always the device's, or its driver's.

    Args:
        load: What did not work.
        n_least: Context that whoever waits must have, in tokens.
        n_layers: Of the model, its output counting as one; 0: unknown.
        has_accelerator: Whether there is one.
        is_fault: Whether it was a fault of the program, and no want of memory.
    """
    has_layers = has_accelerator and load.n_gpu_layers
    if has_layers and is_fault:
        return _fewer_layers(load, n_layers)
    if load.n_cells > load.n_ctx:
        smaller = replace(load, n_cells=load.n_ctx, n_host_bytes=0)
        return Less(smaller, f"the cache holds {load.n_ctx} tokens instead of {load.n_cells}")
    if load.n_host_bytes:
        return Less(replace(load, n_host_bytes=0), "no prompts are kept beside the cache")
    if has_layers:
        return _fewer_layers(load, n_layers)
    if load.generates and load.n_batch > _SMALL_BATCH:
        return Less(
            replace(load, n_batch=_SMALL_BATCH),
            f"a step computes {_SMALL_BATCH} tokens instead of {load.n_batch}",
        )
    n_ctx = max(n_least, load.n_ctx // 2 // _PAD * _PAD)
    if n_ctx < load.n_ctx:
        return Less(
            replace(load, n_ctx=n_ctx, n_cells=n_ctx),
            f"the context is {n_ctx} tokens instead of {load.n_ctx}",
        )
    return None


def _fewer_layers(load: Load, n_layers: int) -> Less:
    n_all = load.n_gpu_layers if load.n_gpu_layers > 0 else n_layers
    n_gpu = n_all // 2 if n_all > 3 else 0
    return Less(
        replace(load, n_gpu_layers=n_gpu),
        f"{n_gpu} layers are on the accelerator instead of {n_all or 'all'}",
    )


def within(load: Load, known: Load, *, n_least: int) -> Load:
    """Return ``load`` with no more than ``known``, which was found to be as much as works."""
    n_ctx = max(n_least, min(load.n_ctx, known.n_ctx))
    n_gpu = known.n_gpu_layers
    if 0 <= load.n_gpu_layers < n_gpu or n_gpu < 0:
        n_gpu = load.n_gpu_layers
    return replace(
        load,
        n_ctx=n_ctx,
        n_cells=max(n_ctx, min(load.n_cells, known.n_cells)),
        n_host_bytes=min(load.n_host_bytes, known.n_host_bytes),
        n_gpu_layers=n_gpu,
        n_batch=min(load.n_batch, known.n_batch),
    )

"""How many of a model's layers go to each device.  Pure.

The worker places by it what it loads, and the daemon says by it before a load what would go where.
Sizes of layers are averages here: what does not fit after all, llama.cpp refuses, and then it is
tried with fewer (``fewer``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: Of every device, beside the numbers for the words of the vocabulary: what drivers and steps take.
_FIXED = 128 << 20
#: Bits that a number takes in a cache of a type, rounded up.
_KV_BITS = {"f32": 32, "f16": 16, "bf16": 16, "q8_0": 9, "q5_1": 6, "q5_0": 6, "q4_1": 5, "q4_0": 5}


@dataclass(frozen=True, slots=True)
class Place:
    """A device as placement sees it; memory in bytes.

    Attributes:
        name: As llama.cpp names it, or the address of a machine that shares it.
        kind: As ``device_order.Ordered`` has it.
        n_free: What is free of its memory.
        is_remote: Whether it is another machine's.
        handle: What llama.cpp knows it by.
        buffer: What llama.cpp calls its memory.
        hardware_id: As ``device_order.Ordered`` has it.
    """

    name: str
    kind: str
    n_free: int
    is_remote: bool = False
    handle: int = 0
    buffer: str = ""
    hardware_id: str = ""


@dataclass(frozen=True, slots=True)
class Outline:
    """What the header of a model says of its size.

    Attributes:
        n_blocks: Its layers, the output not counted.
        n_bytes: All files of its weights.
        n_embd: Width between two layers, in numbers.
        n_head: Heads of the widest layer.
        n_head_kv: Heads of keys and values there; 0: as many.
        head_width: Width of one of them, in numbers; 0: ``n_embd`` shared out among ``n_head``.
        n_vocab: Tokens that it knows.
    """

    n_blocks: int
    n_bytes: int
    n_embd: int
    n_head: int
    n_head_kv: int
    head_width: int
    n_vocab: int


@dataclass(frozen=True, slots=True)
class Need:
    """What a model wants of a device, in bytes.

    Attributes:
        n_layers: Its layers, the output counted as one.
        layer: Of one layer: weights and its part of the cache.
        fixed: Of every device that has layers, for computing.
    """

    n_layers: int
    layer: int
    fixed: int


def need_of(outline: Outline, *, n_cells: int, kv_types: tuple[str, str], n_batch: int) -> Need:
    """Return what a model wants, layers being taken for alike.

    Args:
        outline: The model.
        n_cells: Cells of its cache, in tokens.
        kv_types: Types of keys and values, as ggml names them.
        n_batch: Tokens of a step.
    """
    n_head = max(1, outline.n_head)
    width = (outline.n_head_kv or n_head) * (outline.head_width or outline.n_embd // n_head)
    bits = sum(_KV_BITS.get(kind, 16) for kind in kv_types)
    n_layers = outline.n_blocks + 1
    return Need(
        n_layers=n_layers,
        layer=outline.n_bytes // n_layers + n_cells * width * bits // 8,
        fixed=_FIXED + 4 * outline.n_vocab * n_batch,
    )


def first(places: Sequence[Place], number: int) -> list[Place]:
    """Return devices with one of them, by its place among them from 0, before the others.

    A number beyond the last one changes nothing.
    """
    ahead = list(places[number : number + 1])
    return ahead + [place for place in places if place not in ahead]


def spread(
    places: Sequence[Place], need: Need, n_asked: int, shares: Sequence[float] = ()
) -> list[int]:
    """Return how many layers go to each of ``places``; what is left stays with the processor.

    Args:
        places: The devices, the first to be filled first.
        need: What the model wants.
        n_asked: Layers to put there, whether they seem to fit or not; negative: as many as fit.
            Such as seem too many go to the last device.
        shares: How much each gets of all, in any unit, one without a share nothing; empty, or of
            none of ``places``: each is filled before the next.
    """
    n_all = need.n_layers if n_asked < 0 else min(n_asked, need.n_layers)
    if sum(shares[: len(places)]) > 0:
        return _shared_out(places, need, n_all, shares, may_cut=n_asked < 0)
    n_left = n_all
    counts = []
    for place in places:
        counts.append(min(n_left, _room(place, need)))
        n_left -= counts[-1]
    if n_asked > 0 and counts:
        counts[-1] += n_left
    return counts


def _shared_out(
    places: Sequence[Place], need: Need, n_all: int, shares: Sequence[float], *, may_cut: bool
) -> list[int]:
    """Layers by shares; of what was not asked for by number no more than fits."""
    known = [*shares[: len(places)], *[0.0] * (len(places) - len(shares))]
    total = sum(known)
    ends = [round(n_all * sum(known[: i + 1]) / total) for i in range(len(known))]
    counts = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    if may_cut:
        counts = [min(n, _room(place, need)) for n, place in zip(counts, places, strict=True)]
    return counts


def _room(place: Place, need: Need) -> int:
    """Layers that a device has memory for."""
    return max(0, place.n_free - need.fixed) // max(1, need.layer)


def fewer(n: int) -> Iterator[int]:
    """Yield ever fewer layers to try after ``n`` did not fit, down to none."""
    yield from dict.fromkeys(less for part in (3, 2, 1, 0) if (less := n * part // 4) < n)


def in_order(places: Sequence[Place], counts: Sequence[int]) -> list[tuple[Place, int]]:
    """Return devices with their layers as the layers follow each other; those without are left out.

    Other machines come first: the last device hands numbers for every word of the vocabulary on,
    the others one row of the model's width.
    """
    used = [(place, n) for place, n in zip(places, counts, strict=True) if n]
    return [each for each in used if each[0].is_remote] + [
        each for each in used if not each[0].is_remote
    ]


def too_few(counts: Sequence[int], need: Need, places: Sequence[Place]) -> str:
    """Return in words that not all layers fit on the devices; empty when they do."""
    n = sum(counts)
    if not places or n >= need.n_layers:
        return ""
    return f"{n} of {need.n_layers} layers fit on {', '.join(place.name for place in places)}"

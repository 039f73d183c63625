"""Which files of a repository a tag means.  Pure: a listing and a tag in, files and a reason out.

A repository for this kind of program holds one model in several quantizations, each as one file,
as a set ``name-00001-of-0000N.gguf``, or in a folder of its own.  Beside them lie projectors
(``mmproj``), importance matrices, and at times a second model.  Only names and sizes are known
here; what a file really is, its header says once it has come.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from runner.domain.name import DEFAULT_TAG
from runner.domain.quant import quantization_in, usual, without_quantization
from runner.domain.sizes import size_text
from runner.errors import NotOnHub

_SHARD = re.compile(r"(?P<stem>.+?)-(?P<number>\d{5})-of-(?P<n_all>\d{5})$")
_PROJECTOR = re.compile(r"(?<![a-z0-9])mmproj(?![a-z0-9])", re.IGNORECASE)
_NO_MODEL = re.compile(r"(?<![a-z0-9])(?:imatrix|ggml-vocab)(?![a-z0-9])", re.IGNORECASE)

#: Without a tag: what most people want first.  Llama.cpp's own default is Q4_K_M as well; the rest
#: is by closeness to it, larger before smaller.
_PREFERRED = (
    *("Q4_K_M", "UD-Q4_K_XL", "Q4_K_XL", "Q4_K_L", "Q4_K", "Q4_K_S", "MXFP4", "MXFP4_MOE"),
    *("IQ4_XS", "IQ4_NL", "Q4_1", "Q4_0"),
    *("Q5_K_M", "UD-Q5_K_XL", "Q5_K_L", "Q5_K", "Q5_K_S", "Q5_1", "Q5_0"),
    *("Q6_K", "UD-Q6_K_XL", "Q6_K_L", "Q8_0", "UD-Q8_K_XL"),
)
#: Projectors are small, and lose more by quantization than they save.
_PROJECTOR_ORDER = ("F16", "BF16", "Q8_0", "F32", "")

#: What a model needs beside its weights: a cache, buffers, and the rest of the machine.
_ROOM_FACTOR = 1.1
ROOM_BYTES = 1 << 30
_MAX_SHOWN = 12


@dataclass(frozen=True, slots=True)
class RepoFile:
    """One file of a repository.

    Attributes:
        path: Inside the repository.
        n_bytes: Its size.
        sha256: When the hub says it.
        commit: The one that changed it last, when the hub says that of each file.
    """

    path: str
    n_bytes: int
    sha256: str | None = None
    commit: str = ""

    @property
    def name(self) -> str:
        """The path's last part."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The path without its last part."""
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Variant:
    """A model in one quantization.

    Attributes:
        quantization: As its file or folder names it; empty when neither does.
        base: What is left of the name without it, in lower case: tells two models apart.
        stem: Path without shard number and ``.gguf``; what names it exactly.
        files: One file, or all shards in order.
        n_shards: How many shards there should be; 1 for a single file.
    """

    quantization: str
    base: str
    stem: str
    files: tuple[RepoFile, ...]
    n_shards: int

    @property
    def n_bytes(self) -> int:
        """Size of all its files."""
        return sum(file.n_bytes for file in self.files)

    @property
    def is_complete(self) -> bool:
        """Whether no shard is missing."""
        return len(self.files) == self.n_shards

    @property
    def label(self) -> str:
        """What to call it: its quantization, else its name."""
        return self.quantization or self.stem.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Choice:
    """What a tag means, and why, in words fit to show; ``projector`` where images need one."""

    variant: Variant
    projector: RepoFile | None
    reason: str


def variants(files: Iterable[RepoFile]) -> list[Variant]:
    """Return the models among ``files``, smallest first; projectors and the like are none."""
    found: dict[tuple[str, int], dict[int, RepoFile]] = {}
    for file in files:
        if not _is_model(file):
            continue
        shard = _SHARD.match(file.path[: -len(".gguf")])
        if shard is None:
            found[file.path[: -len(".gguf")], 1] = {1: file}
        else:
            shards = found.setdefault((shard["stem"], int(shard["n_all"])), {})
            if 1 <= int(shard["number"]) <= int(shard["n_all"]):
                shards[int(shard["number"])] = file
    made = [
        _variant(stem, [shards[number] for number in sorted(shards)], n_all)
        for (stem, n_all), shards in found.items()
        if shards
    ]
    return sorted(made, key=lambda variant: (variant.n_bytes, variant.stem))


def choose(
    files: Iterable[RepoFile],
    tag: str = DEFAULT_TAG,
    *,
    file: str = "",
    memory_bytes: int = 0,
    where: str = "the repository",
) -> Choice:
    """Return what ``tag`` means among ``files``.

    A tag is a quantization, a file's name with or without ``.gguf``, or the name of one of several
    models; case does not matter.  ``latest`` is the best quantization that fits the machine:
    Q4_K_M if it does.

    Args:
        files: The whole listing.
        tag: What was asked for.
        file: Path of the very file that was asked for instead.
        memory_bytes: The machine's memory; 0: not known, and everything fits.
        where: The repository, for errors.

    Raises:
        NotOnHub: There is no model, none that the tag means, more than one, or not all its shards.
    """
    files = list(files)
    every = variants(files)
    if not every:
        raise _no_models(files, where)
    if file:
        found, reason = _named(every, file), "asked for by its path"
    elif tag.lower() == DEFAULT_TAG:
        found, reason = _one_base(every, where), ""
    else:
        found, reason = _tagged(every, tag), f"asked for as '{tag}'"
    if not found:
        raise _nothing_matches(every, file or tag, where)
    bases = {variant.base for variant in found}
    if len(found) > 1 and (reason == "" or len({v.quantization for v in found}) > 1):
        if len(bases) > 1:
            raise _ambiguous(found, where)
        variant, reason = _best(found, memory_bytes, where)
    elif len(found) > 1:
        raise _ambiguous(found, where)
    else:
        variant, reason = found[0], reason or "the only one there"
    if not variant.is_complete:
        raise _incomplete(variant, where)
    return Choice(variant, _projector_for(variant, files), reason)


def fits(n_bytes: int, memory_bytes: int) -> bool:
    """Return whether a model of ``n_bytes`` should run in ``memory_bytes``: a rule of thumb."""
    return not memory_bytes or n_bytes * _ROOM_FACTOR + ROOM_BYTES <= memory_bytes


def _is_model(file: RepoFile) -> bool:
    if not file.name.lower().endswith(".gguf") or len(file.name) <= len(".gguf"):
        return False
    return not (_PROJECTOR.search(file.path) or _NO_MODEL.search(file.name))


def _variant(stem: str, files: Sequence[RepoFile], n_shards: int) -> Variant:
    folder, _, name = stem.rpartition("/")
    quantization = quantization_in(name)
    base = without_quantization(name)
    if not quantization and (quantization := quantization_in(folder.rpartition("/")[2])):
        folder = folder.rpartition("/")[0]  # a folder for each quantization
    elif quantization_in(folder.rpartition("/")[2]) == quantization:
        folder = folder.rpartition("/")[0]
    return Variant(quantization, base.lower().strip("-_. "), stem, tuple(files), n_shards)


def _named(every: Sequence[Variant], path: str) -> list[Variant]:
    return [variant for variant in every if any(file.path == path for file in variant.files)]


def _tagged(every: Sequence[Variant], tag: str) -> list[Variant]:
    """Return what ``tag`` names; the more exact sense of a tag goes before the other."""
    wanted = tag.lower().removesuffix(".gguf")
    label = usual(tag)

    def by_file(variant: Variant) -> bool:
        names = {file.name[: -len(".gguf")].lower() for file in variant.files}
        names |= {_safe(name) for name in names}
        stem = variant.stem.rpartition("/")[2].lower()
        return wanted in names or wanted in (stem, _safe(stem))

    senses: tuple[Callable[[Variant], bool], ...] = (
        by_file,
        lambda variant: variant.quantization == label,
        lambda variant: variant.quantization == f"UD-{label}",
        lambda variant: variant.base == wanted,
        lambda variant: f"{variant.base}-{variant.quantization}".lower() == wanted,
    )
    for sense in senses:
        if found := [variant for variant in every if sense(variant)]:
            return found
    return []


def _safe(name: str) -> str:
    """Return the tag that a link to this file gets, see ``domain/name.py``."""
    return re.sub(r"[^a-z0-9_.-]+", "-", name).strip("-.")[:80]


def _one_base(every: Sequence[Variant], where: str) -> list[Variant]:
    if len({variant.base for variant in every}) > 1:
        raise _ambiguous(every, where)
    return list(every)


def _best(found: Sequence[Variant], memory_bytes: int, where: str) -> tuple[Variant, str]:
    """Return the best of one model's quantizations for this machine, and why."""
    whole = [variant for variant in found if variant.is_complete]
    if not whole:
        raise _incomplete(found[0], where)
    machine = f"{size_text(memory_bytes)} of memory"
    fitting = [variant for variant in whole if fits(variant.n_bytes, memory_bytes)]
    if not fitting:
        smallest = whole[0]
        return smallest, f"the smallest there; none fits {machine} well"
    usual_one = min(whole, key=_rank)
    if usual_one in fitting:
        reason = "the usual balance of size and quality"
        return usual_one, f"{reason}, fits {machine}" if memory_bytes else reason
    best = fitting[-1]
    return best, f"the largest that fits {machine}; {usual_one.label} does not"


def _rank(variant: Variant) -> tuple[int, int]:
    """Order of preference where all fit; unknown ones come last, smaller ones before larger."""
    known = variant.quantization in _PREFERRED
    place = _PREFERRED.index(variant.quantization) if known else len(_PREFERRED)
    return place, variant.n_bytes


def _projector_for(variant: Variant, files: Iterable[RepoFile]) -> RepoFile | None:
    """Return the projector that belongs to ``variant``: its own folder's, then the root's."""
    folder = variant.files[0].folder
    there = [
        file
        for file in files
        if file.name.lower().endswith(".gguf")
        and _PROJECTOR.search(file.name)
        and (file.folder == folder or not file.folder or folder.startswith(f"{file.folder}/"))
    ]
    named = [file for file in there if variant.base and variant.base in file.name.lower()]

    def rank(file: RepoFile) -> tuple[int, int, str]:
        label = quantization_in(file.name)
        known = label in _PROJECTOR_ORDER
        place = _PROJECTOR_ORDER.index(label) if known else len(_PROJECTOR_ORDER)
        return (0 if file.folder == folder else 1), place, file.path

    return min(named or there, key=rank, default=None)


# Errors


def _no_models(files: Sequence[RepoFile], where: str) -> NotOnHub:
    if any(file.name.endswith(".safetensors") for file in files):
        hint = "it has weights in another format; look for a repository whose name ends in -GGUF"
    else:
        hint = f"find one with: corral search {where.rpartition('/')[2]}"
    return NotOnHub(f"{where} holds no GGUF model ({len(files)} files)", hint=hint)


def _nothing_matches(every: Sequence[Variant], asked: str, where: str) -> NotOnHub:
    labels = sorted({variant.label for variant in every})
    near = difflib.get_close_matches(usual(asked), labels, n=1)
    question = f"did you mean '{near[0]}'? " if near else ""
    return NotOnHub(f"{where} has no '{asked}'", hint=f"{question}it has: {listed(every)}")


def _ambiguous(found: Sequence[Variant], where: str) -> NotOnHub:
    names = [variant.stem.rpartition("/")[2] for variant in found]
    more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
    return NotOnHub(
        f"{where} holds several models: {', '.join(names[:_MAX_SHOWN])}{more}",
        hint=f"name one as the tag: {where}:{_safe(names[0].lower())}",
    )


def _incomplete(variant: Variant, where: str) -> NotOnHub:
    return NotOnHub(
        f"{where} has {len(variant.files)} of the {variant.n_shards} parts of {variant.label}",
        hint="its owner may still be uploading it; try later, or choose another one",
    )


def listed(every: Sequence[Variant]) -> str:
    """Return labels and sizes in words: ``Q4_K_M (2.5 GB), Q8_0 (4.3 GB)``."""
    shown = [f"{variant.label} ({size_text(variant.n_bytes)})" for variant in every[:_MAX_SHOWN]]
    more = f", and {len(every) - _MAX_SHOWN} more" if len(every) > _MAX_SHOWN else ""
    return ", ".join(shown) + more

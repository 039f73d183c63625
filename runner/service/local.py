"""A model of this machine: which files a path means, and how they come into the library.

A path is one GGUF file, a part of a model in several, or a folder that holds a model: its
quantizations, parts and projector are told apart as in a repository.  The owner's files are
copied, and left as they are.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.errors import BadModelFile, InvalidRequest, NotOnHub
from runner.hub.choose import Choice, RepoFile, choose
from runner.hub.source import RemoteFile, Role
from runner.service.manifest import manifest_of
from runner.store.blobs import Partial
from runner.store.intake import bring
from runner.store.library import Library
from runner.store.manifests import Layer

_GGUF = ".gguf"
_PART = re.compile(r"-\d{5}-of-\d{5}$")
#: A folder with more files is somebody's home, not a model's.
_MOST_FILES = 10_000


@dataclass(frozen=True, slots=True)
class Found:
    """What a path means.

    Attributes:
        files: The model, its further parts, its projector.
        note: What was chosen and why, where there was a choice.
    """

    files: tuple[RemoteFile, ...]
    note: str = ""


def look(path: Path, memory_bytes: int = 0) -> Found:
    """Return what ``path`` means; blocks.

    Raises:
        InvalidRequest: There is no such file, or the folder holds no model, or several.
    """
    if path.is_dir():
        return _in_folder(path, memory_bytes)
    if not path.is_file():
        raise InvalidRequest(f"there is no file '{path}'", param="path")
    if not _PART.search(_stem(path.name)):
        return Found((_file(path, Role.MODEL),))
    choice = _chosen(path.parent, path.name, memory_bytes)
    parts = [path.parent / file.path for file in choice.variant.files]
    return Found(_files(parts))


def take_in(
    library: Library, name: ModelName, files: Sequence[RemoteFile]
) -> Generator[Progress, None, None]:
    """Copy ``files`` into the library as ``name``; yields progress.

    Closing it before its end leaves nothing behind.

    Raises:
        BadModelFile: They are no whole model.
        DiskFull: There is no room for them.
        StoreError: The library cannot be written.
    """
    if len(files) == 1:
        (file,) = files
        yield from library.import_file(Path(file.location), name, provenance=file.provenance)
        return
    places = [Path(file.location) for file in files]
    # Before anything is copied: damaged files are refused at once.
    manifest_of(name, files, [Layer(str(f.role), "", f.n_bytes) for f in files], places, {})
    is_done = False
    while not is_done:
        with ExitStack() as copies:
            partials: list[Partial] = []
            layers: list[Layer] = []
            paths: list[Path] = []
            for file, place in zip(files, places, strict=True):
                partial, digest = yield from bring(library.blobs, place, file.n_bytes)
                if partial is not None:
                    copies.callback(partial.discard)
                    partials.append(partial)
                paths.append(partial.path if partial else library.blobs.path(digest))
                layers.append(Layer(str(file.role), digest, file.n_bytes))
            yield Progress("writing manifest")
            # Of what was hashed: a file may have changed since it was first looked at.
            manifest = manifest_of(name, files, layers, paths, {})
            is_done = library.keep(partials, manifest)
    yield Progress("success")


def name_of(path: Path) -> ModelName:
    """Return the name that a file's or a folder's own name suggests.

    Raises:
        InvalidName: Nothing in it can be a name.
    """
    own = path.name if path.name not in ("", "..") else path.resolve().name
    title = _PART.sub("", _stem(own))
    return ModelName.parse(re.sub(r"[^A-Za-z0-9_.-]+", "-", title).strip("-.")[:80])


def _in_folder(folder: Path, memory_bytes: int) -> Found:
    choice = _chosen(folder, "", memory_bytes)
    parts = [folder / file.path for file in choice.variant.files]
    projector = folder / choice.projector.path if choice.projector else None
    note = f"{choice.variant.label}: {choice.reason}"
    return Found(_files(parts, projector), note)


def _chosen(folder: Path, file: str, memory_bytes: int) -> Choice:
    """Return which of the folder's files belong to the model, with the errors of a folder."""
    there = _listed(folder)
    if not any(one.name.lower().endswith(_GGUF) for one in there):
        what = "weights in another format" if _has_other_weights(there) else "no GGUF file"
        raise InvalidRequest(
            f"the folder '{folder}' holds {what}", hint="name a GGUF file", param="path"
        )
    try:
        return choose(there, file=file, memory_bytes=memory_bytes, where=f"the folder {folder}")
    except NotOnHub as error:
        hint = "all parts must lie beside each other" if file else "name one of its files"
        raise InvalidRequest(error.message, hint=hint, param="path") from None


def _listed(folder: Path) -> list[RepoFile]:
    found: list[RepoFile] = []
    try:
        for path in folder.iterdir():
            with contextlib.suppress(OSError):  # it went while we looked
                if path.is_file():
                    found.append(RepoFile(path.name, path.stat().st_size))
            if len(found) > _MOST_FILES:
                raise InvalidRequest(
                    f"the folder '{folder}' holds more than {_MOST_FILES} files",
                    hint="name a GGUF file, or a folder of one model",
                    param="path",
                )
    except OSError as error:
        raise InvalidRequest(f"cannot read '{folder}': {error.strerror}", param="path") from None
    return found


def _has_other_weights(files: Sequence[RepoFile]) -> bool:
    return any(file.name.endswith((".safetensors", ".bin", ".pt")) for file in files)


def _files(parts: Sequence[Path], projector: Path | None = None) -> tuple[RemoteFile, ...]:
    first, *others = parts
    made = [_file(first, Role.MODEL), *(_file(path, Role.SHARD) for path in others)]
    if projector is not None:
        made.append(_file(projector, Role.PROJECTOR))
    return tuple(made)


def _file(path: Path, role: Role) -> RemoteFile:
    try:
        n_bytes = path.stat().st_size
    except OSError as error:
        raise BadModelFile(f"cannot read {path}: {error.strerror}") from None
    return RemoteFile(
        name=path.name,
        location=str(path),
        is_local=True,
        n_bytes=n_bytes,
        provenance={"source": "file", "file": path.name},
        role=role,
    )


def _stem(name: str) -> str:
    return name[: -len(_GGUF)] if name.lower().endswith(_GGUF) else name

"""The files that a new model is made from: looked at, and converted where they are no GGUF yet."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from runner.domain.create import CreateRequest
from runner.domain.progress import Progress
from runner.errors import BadModelFile, InvalidRequest, Unsupported
from runner.gguf.metadata import refuse_unrunnable
from runner.gguf.reader import Header, read_header
from runner.protocol.tasks import Convert, Converted
from runner.service.run import Run
from runner.service.tools import Tools
from runner.store.library import Library
from runner.store.made import Made
from runner.store.manifests import ADAPTER, DRAFT, MODEL, PROJECTOR, Manifest

T = TypeVar("T")

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_SAFETENSORS = ".safetensors"
_GGUF = ".gguf"


@dataclass(frozen=True, slots=True)
class File:
    """A file that becomes a layer.

    Attributes:
        label: What its owner calls it.
        path: Where it is.
        digest: Of the blob that it is; empty until it is in the library.
        kind: Of the layer.
        header: Of it.
        made: What it was converted into, still to be committed.
    """

    label: str
    path: Path
    digest: str
    kind: str
    header: Header
    made: Made | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file as it was named; ``digest`` is empty for one that is no blob."""

    label: str
    path: Path
    digest: str


def takes_long(request: CreateRequest) -> bool:
    """Whether following a request is work for a process of its own: weights are written anew."""
    blobs = (*request.files, *request.adapters, *request.drafts)
    paths = (*request.file_paths, *request.adapter_paths, *request.draft_paths)
    labels = [*blobs, *(path.name for path in paths)]
    return bool(request.quantize) or any(one.lower().endswith(_SAFETENSORS) for one in labels)


def look_for(library: Library, request: CreateRequest) -> list[tuple[str, list[_Entry]]]:
    """Return the files that a request names, by the kind of their layer; none is opened.

    Raises:
        InvalidRequest: A file is missing, or of a kind that is never read.
    """
    found = []
    for kind, blobs, paths in (
        (MODEL, request.files, request.file_paths),
        (ADAPTER, request.adapters, request.adapter_paths),
        (DRAFT, request.drafts, request.draft_paths),
    ):
        entries = [*_blobs(library, blobs), *_paths(paths)]
        for entry in entries:
            _refuse_pickle(entry.label)
        found.append((kind, entries))
    return found


def gather(
    library: Library,
    tools: Tools | None,
    request: CreateRequest,
    base: Manifest | None,
    *,
    copies: ExitStack,
    run: Run,
) -> Generator[Progress, None, list[File]]:
    """Return the files of a request, each with its header; folders are converted on the way.

    Args:
        library: Where blobs are, and what is converted goes.
        tools: Convert; ``None``: what needs that is refused.
        request: Whose.
        base: The model that it builds on.
        copies: Removes what was converted, unless it is committed.
        run: Ends the process that converts when it is stopped.

    Raises:
        InvalidRequest: A file is missing, or of a kind that is never read.
        BadModelFile: One is not what it should be.
        UnsupportedArchitecture: There is no converter for it.
    """
    found: list[File] = []
    for kind, entries in look_for(library, request):
        ggufs = entries
        if any(entry.label.lower().endswith(_SAFETENSORS) for entry in entries):
            ggufs = [one for one in entries if one.label.lower().endswith(_GGUF)]
            folder = [one for one in entries if one not in ggufs]
            converter = _Converter(library, tools, request, copies, run)
            found.append((yield from converter.convert(kind, folder, _base_path(found, base))))
        found += [_looked_at(entry, kind) for entry in ggufs]
    return found


def _blobs(library: Library, blobs: Mapping[str, str]) -> Iterator[_Entry]:
    for label, digest in blobs.items():
        if not library.blobs.has(digest):
            raise InvalidRequest(
                f'blob "{digest}" of {label} not found',
                hint="send it first: POST /api/blobs/" + digest,
                param="files",
            )
        yield _Entry(label, library.blobs.path(digest), digest)


def _paths(paths: tuple[Path, ...]) -> Iterator[_Entry]:
    """Files of this machine; those of a folder are called as they are inside of it."""
    root = next((path.parent for path in paths if path.suffix.lower() == _SAFETENSORS), None)
    for path in paths:
        if not path.is_file():
            raise InvalidRequest(f"there is no file '{path.name}'", param="paths")
        is_inside = root is not None and path.is_relative_to(root)
        label = path.relative_to(root).as_posix() if root and is_inside else path.name
        yield _Entry(label, path, "")


def _base_path(found: list[File], base: Manifest | None) -> Path | str:
    """The model that an adapter is for: a file's place, or a blob's digest."""
    own = next((file.path for file in found if file.kind == MODEL), None)
    return own or (base.model.digest if base else "")


class _Converter:
    """Converts one folder, in a process of its own."""

    def __init__(
        self,
        library: Library,
        tools: Tools | None,
        request: CreateRequest,
        copies: ExitStack,
        run: Run,
    ) -> None:
        self._library = library
        self._tools = tools
        self._request = request
        self._copies = copies
        self._run = run

    def convert(
        self, kind: str, entries: list[_Entry], base: Path | str
    ) -> Generator[Progress, None, File]:
        label = next(one.label for one in entries if one.label.lower().endswith(_SAFETENSORS))
        if self._tools is None or kind == DRAFT:
            raise Unsupported(
                f"{label}: a model is not converted here", hint="convert it to GGUF beforehand"
            )
        if kind == ADAPTER and not base:
            raise InvalidRequest(f"{label}: an adapter needs a model", param="adapters")
        path = self._library.blobs.path(base) if isinstance(base, str) and base else base
        made = Made(self._library.blobs)
        self._copies.callback(made.discard)
        task = Convert(
            files={entry.label: str(entry.path) for entry in entries},
            out=str(made.path),
            name=self._request.name.model,
            base_path=str(path) if kind == ADAPTER else "",
        )
        yield Progress("converting model" if kind == MODEL else "converting adapter")
        yield from self._tools.do_in_turn(task, Converted, self._run)
        digest = yield from made.seal()
        here = self._library.blobs.has(digest, made.n_bytes)
        entry = _Entry(label, made.path, digest if here else "")
        file = _looked_at(entry, kind)
        return File(label, made.path, file.digest, file.kind, file.header, None if here else made)


def _refuse_pickle(label: str) -> None:
    if Path(label).suffix.lower() in _PICKLES:
        raise InvalidRequest(
            f"{label} is a pickle file, which can run code when it is read",
            hint="use a GGUF or safetensors build of this model",
            param="files",
        )


def _looked_at(entry: _Entry, kind: str) -> File:
    """A file with its header read, and its kind told by it."""
    label = entry.label
    header = in_words(label, lambda: read_header(entry.path))
    own = str(header.metadata.get("general.type", ""))
    if kind == MODEL and own == "adapter":
        raise BadModelFile(f"{label} is a LoRA adapter", hint="name it with ADAPTER, not FROM")
    if kind == MODEL and (own == "mmproj" or header.metadata.get("general.architecture") == "clip"):
        kind = PROJECTOR
    if kind in (MODEL, DRAFT):
        in_words(label, lambda: refuse_unrunnable(header))
    return File(label, entry.path, entry.digest, kind, header)


def in_words(label: str, work: Callable[[], T]) -> T:
    """Do ``work`` on a file, whose name its errors get."""
    try:
        return work()
    except BadModelFile as error:
        told = error.message.removeprefix(f"{label}: ")  # the reader of a file names it, too
        raise type(error)(f"{label}: {told}", hint=error.hint) from None

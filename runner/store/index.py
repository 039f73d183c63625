"""Manifests as they lie on the disk, read once and again only when their file has changed.

Reading needs no lock: manifests appear and vanish whole.  One that cannot be read is left where it
is, logged once, and never stands in another's way.  Who writes is ``library.py``.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from runner.domain.model import ModelInfo
from runner.domain.name import ModelName
from runner.errors import CorralError, ModelNotFound, StoreError
from runner.logs import pairs
from runner.store import manifests
from runner.store.blobs import DIGEST, Blobs
from runner.store.capabilities import capabilities_of
from runner.store.disk import explained, in_words
from runner.store.manifests import Manifest
from runner.store.tree import Tree

logger = logging.getLogger(__name__)

#: Folders above a manifest: host, namespace, model.
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Broken:
    """A manifest that cannot be used; the file is left as it is.

    Attributes:
        path: Of the manifest.
        name: The name its place means; ``None`` when it means none.
        reason: What is wrong, for people.
    """

    path: Path
    name: ModelName | None
    reason: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A manifest as read, its line of the list, and what tells whether its file is the same."""

    stamp: tuple[int, int, int]
    manifest: Manifest
    info: ModelInfo
    files: tuple[tuple[str, int], ...]  # where its blobs lie, and how large they are


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """What was found the last time, when nothing was broken: an entry for each path, in order."""

    paths: list[str]
    sizes: Mapping[str, int]
    entries: list[Entry]


class Index:
    """All manifests below one folder.  Safe from any thread, at any time."""

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self.folder = folder
        self._blobs = blobs
        self._tree = Tree()
        self._entries: dict[str, Entry] = {}
        self._told: set[tuple[Path, str]] = set()  # what is broken is logged once
        self._last: _Scan | None = None

    def path(self, name: ModelName) -> Path:
        """Return where the manifest of ``name`` lies, or would."""
        return self.folder / manifests.relative_path(name)

    def paths(self) -> list[Path]:
        """Return where the manifests are, in no order."""
        with explained("cannot read the library"):
            return [Path(path) for path in self._tree.walk(str(self.folder), _DEPTH)]

    def entry(self, name: ModelName, asked: str = "") -> Entry:
        """Return what ``name`` means.

        Raises:
            ModelNotFound: There is no such name; ``asked`` is how the user wrote it.
            StoreError: Its manifest is damaged, or cannot be read.
        """
        try:
            return self.load(self.path(name))
        except OSError as error:
            # ENAMETOOLONG: a good name, but longer than any file's here can be.
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise ModelNotFound(asked or str(name)) from None
            raise in_words(error, f"cannot read the manifest of {name}") from error

    def load(self, path: Path) -> Entry:
        """Return the manifest at ``path``; may raise ``OSError`` or ``StoreError``."""
        return self._load(str(path), path.stat())

    def forget(self, path: Path) -> None:
        """Read the manifest anew next time, however its file looks."""
        self._entries.pop(str(path), None)
        self._last = None

    def scan(self) -> tuple[list[Entry], list[Broken]]:
        """Return the models that can be used, in no order, and what is wrong with the others.

        The list is the very same one as before while nothing has changed; it is not to be changed.
        """
        found: list[Entry] = []
        broken: list[Broken] = []
        with explained("cannot read the library"):
            paths = [*self._tree.walk(str(self.folder), _DEPTH)]
            sizes = self._tree.files(str(self._blobs.folder))
        if (last := self._last) is not None and _is_same(last, paths, sizes):
            return last.entries, []
        for file in paths:
            try:
                entry = self._load(file, os.stat(file))  # noqa: PTH116 - a Path costs more than this
                if not _holds(entry, sizes) and (problem := self.missing(entry.manifest)):
                    raise StoreError(problem)
            except (OSError, StoreError) as error:
                path = Path(file)
                if path.exists():  # else it was removed while we looked
                    broken.append(Broken(path, self._name_at(path), str(error)))
            else:
                found.append(entry)
        self._keep_only(set(paths))
        self._last = _Scan(paths, sizes, found) if len(found) == len(paths) else None
        for one in broken:
            if (one.path, one.reason) not in self._told:
                self._told.add((one.path, one.reason))
                logger.warning("model skipped %s", pairs(path=one.path, reason=one.reason))
        return found, broken

    def missing(self, manifest: Manifest) -> str:
        """Which blob is not there as it should be, in words; empty when all are."""
        for layer in manifest.layers:
            path = self._blobs.path(layer.digest)
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                return f"its file {path.name} is missing"
            except OSError as error:
                return f"its file {path.name} cannot be read: {error.strerror}"
            if size != layer.n_bytes:
                return f"its file {path.name} has {size} bytes instead of {layer.n_bytes}"
        return ""

    def used(self) -> set[str] | None:
        """Return every digest that a manifest names; ``None`` when one cannot be told."""
        used: set[str] = set()
        for path in self.paths():
            try:
                used.update(layer.digest for layer in self.load(path).manifest.layers)
                continue
            except (OSError, CorralError):
                pass
            named = digests_in(path)
            if not named:
                logger.warning("blobs kept %s", pairs(path=path, reason="manifest unreadable"))
                return None
            used |= named
        return used

    def _load(self, path: str, status: os.stat_result) -> Entry:
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        entry = self._entries.get(path)
        if entry is not None and entry.stamp == stamp:
            return entry
        here = Path(path)
        manifest = manifests.decode(manifests.read_bytes(here))
        place = self._name_at(here)
        if place is None:
            raise StoreError("the manifest's place means no name")
        if place != manifest.name:
            manifest = replace(manifest, name=place)  # moved by hand: its place counts
        layers = manifest.layers
        files = tuple((str(self._blobs.path(layer.digest)), layer.n_bytes) for layer in layers)
        entry = Entry(stamp, manifest, _info(manifest, status.st_mtime_ns), files)
        self._entries[path] = entry
        return entry

    def _keep_only(self, there: set[str]) -> None:
        for path in self._entries.keys() - there:
            self._entries.pop(path, None)

    def _name_at(self, path: Path) -> ModelName | None:
        return manifests.name_at(path.relative_to(self.folder))


def digests_in(path: Path) -> set[str]:
    """Return whatever looks like a digest in a damaged manifest."""
    try:
        text = manifests.read_bytes(path).decode("latin-1")
    except (OSError, CorralError):
        return set()
    return {match[0] for match in DIGEST.finditer(text)}


def _is_same(last: _Scan, paths: list[str], sizes: Mapping[str, int]) -> bool:
    """Whether the folders and every manifest's file are as they were; a look at each file's time.

    The hot loop of a list of thousands.
    """
    if sizes is not last.sizes or paths != last.paths:
        return False
    look = os.stat
    try:
        for path, entry in zip(paths, last.entries, strict=True):
            status = look(path)
            if (status.st_mtime_ns, status.st_size, status.st_ino) != entry.stamp:
                return False
    except OSError:  # it went just now
        return False
    return True


def _holds(entry: Entry, sizes: Mapping[str, int]) -> bool:
    """Whether all its blobs were there when the blobs were last looked through."""
    return all(sizes.get(path) == n_bytes for path, n_bytes in entry.files)


def _info(manifest: Manifest, mtime_ns: int) -> ModelInfo:
    facts = manifest.facts
    return ModelInfo(
        name=manifest.name,
        digest=manifests.model_id(manifest),
        n_bytes=manifest.n_bytes,
        modified_at=mtime_ns / 1e9,
        architecture=facts.architecture,
        n_params=facts.n_params,
        quantization=facts.quantization,
        n_ctx_train=facts.n_ctx_train,
        n_embd=facts.n_embd,
        capabilities=capabilities_of(manifest),
    )

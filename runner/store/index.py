"""Manifests as they lie on the disk, read once and again only when their file has changed.

Reading needs no lock: manifests appear and vanish whole.  One that cannot be read is left where it
is, logged once, and never stands in another's way.  Who writes is ``library.py``.

What many of them said is kept for the next process (``summary.py``); few are read in no time.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from runner.store.manifests import Layer, Manifest
from runner.store.probe import try_times
from runner.store.summary import FILE, Entry, read_summary, write_summary
from runner.store.tree import Sizes, Stamp, Tree, is_settled, stamp_of

logger = logging.getLogger(__name__)

#: Folders above a manifest: host, namespace, model.
_DEPTH = 3
#: Manifests kept in memory for whoever wants one whole.
_MAX_WHOLE = 64
#: So many are read at every start; more of them are worth a file that says what they said.
_MAX_UNKEPT = 100


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


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """What was found the last time, when all was good and settled: a stamp for each path."""

    paths: list[str]
    stamps: list[Stamp]
    sizes: Mapping[str, int]
    entries: list[Entry]


class Index:
    """All manifests below one folder.  Safe from any thread, at any time.

    Args:
        folder: Theirs.
        blobs: What they name.
        now_ns: The clock that says what has settled.
    """

    def __init__(
        self, folder: Path, blobs: Blobs, *, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self.folder = folder
        self._blobs = blobs
        self._now_ns = now_ns
        self._tells = functools.cache(lambda: try_times(blobs.partial))
        self._tree = Tree(now_ns, lambda: self._tells().folders)
        self._sizes = Sizes(str(blobs.folder), now_ns, lambda: self._tells().folders)
        self._entries: dict[str, Entry] = {}
        self._whole: dict[str, tuple[Entry, Manifest]] = {}
        self._told: set[tuple[Path, str]] = set()  # what is broken is logged once
        self._last: _Scan | None = None
        self._file = folder.parent / FILE
        self._n_unkept = 0  # entries that are not in the file
        self._is_begun = False
        self._keeping = threading.Lock()

    def path(self, name: ModelName) -> Path:
        """Return where the manifest of ``name`` lies, or would."""
        return self.folder / manifests.relative_path(name)

    def entries(self) -> list[Entry]:
        """Return what every manifest says that can be read, whole or not, in no order."""
        found = []
        for file in self._walk():
            with contextlib.suppress(OSError, StoreError):  # ``scan`` tells of it
                found.append(self._load(file))
        self._write_down()
        return found

    def manifests(self) -> list[Manifest]:
        """Return the same with all that they say; reads every file."""
        found = []
        for file in self._walk():
            with contextlib.suppress(OSError, StoreError):
                found.append(self.manifest_at(Path(file)))
        return found

    def entry(self, name: ModelName) -> Entry:
        """Return what ``name`` means.

        Raises:
            ModelNotFound: There is no such name.
            StoreError: Its manifest is damaged, or cannot be read.
        """
        with self._explained(name):
            return self.load(self.path(name))

    def manifest(self, name: ModelName) -> Manifest:
        """Return all of what ``name`` means; raises as ``entry``."""
        with self._explained(name):
            return self.manifest_at(self.path(name))

    def load(self, path: Path) -> Entry:
        """Return what the manifest at ``path`` says; may raise ``OSError`` or ``StoreError``."""
        return self._load(str(path))

    def manifest_at(self, path: Path) -> Manifest:
        """Return the manifest at ``path``; may raise ``OSError`` or ``StoreError``."""
        return self._read(str(path), stamp_of(path.stat()))[1]

    def forget(self, path: Path) -> None:
        """Read the manifest anew next time, however its file looks."""
        self._entries.pop(str(path), None)
        self._whole.pop(str(path), None)
        self._last = None

    def scan(self) -> tuple[list[Entry], list[Broken]]:
        """Return the models that can be used, newest first, and what is wrong with the others.

        The list is the very same one as before while nothing has changed; it is not to be changed.
        """
        found: list[tuple[int, str, Entry]] = []
        broken: list[Broken] = []
        n_settled = 0
        paths = self._walk()
        with explained("cannot read the library"):
            sizes = self._sizes.read()
        if (last := self._last) is not None and _is_same(last, paths, sizes):
            return last.entries, []
        look, known, is_proof = os.stat, self._entries, bool(paths) and self._tells().files
        for file in paths:
            try:
                stamp = stamp_of(look(file))
                entry = known.get(file)
                if entry is None or entry.stamp != stamp or not is_proof:
                    entry = self._compared(file, stamp)
                if not _holds(entry, sizes) and (problem := self.missing(entry.layers)):
                    raise StoreError(problem)
            except (OSError, StoreError) as error:
                path = Path(file)
                if path.exists():  # else it was removed while we looked
                    broken.append(Broken(path, self._name_at(path), str(error)))
            else:
                found.append((-entry.stamp[0], file, entry))
                n_settled += known.get(file) is entry
        self._keep_only(set(paths))
        stamps = [entry.stamp for _, _, entry in found]
        entries = [entry for _, _, entry in sorted(found)]
        is_last = is_proof and n_settled == len(paths)
        self._last = _Scan(paths, stamps, sizes, entries) if is_last else None
        self._write_down()
        for one in broken:
            if (one.path, one.reason) not in self._told:
                self._told.add((one.path, one.reason))
                logger.warning("model skipped %s", pairs(path=one.path, reason=one.reason))
        return entries, broken

    def missing(self, layers: Iterable[Layer]) -> str:
        """Which blob is not there as it should be, in words; empty when all are."""
        for layer in layers:
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

    def digests(self) -> set[str]:
        """Return all blobs, whether a manifest names them or not; raises ``StoreError``."""
        with explained("cannot read the library"):
            names = [*self._sizes.read()]
        found = {name.replace("sha256-", "sha256:", 1) for name in names}
        return {digest for digest in found if DIGEST.fullmatch(digest)}

    def used(self) -> set[str] | None:
        """Return every digest that a manifest names; ``None`` when one cannot be told."""
        used: set[str] = set()
        for file in self._walk():
            try:
                entry = self._load(file)
                used.update(layer.digest for layer in entry.layers)
                continue
            except (OSError, CorralError):
                pass
            named = digests_in(Path(file))
            if not named:
                logger.warning("blobs kept %s", pairs(path=file, reason="manifest unreadable"))
                return None
            used |= named
        self._write_down()
        return used

    def _walk(self) -> list[str]:
        """Return the paths of all manifests; the first time, takes over what is written down."""
        with self._keeping:
            if not self._is_begun:
                self._is_begun = True
                self._entries, folders = read_summary(self._file, self.folder)
                if folders and self._tells().folders:
                    self._tree.believe(folders)
        with explained("cannot read the library"):
            return self._tree.walk(str(self.folder), _DEPTH)

    def _write_down(self) -> None:
        """Write down what the manifests say, if the next process would miss it."""
        with self._keeping:
            if self._n_unkept <= _MAX_UNKEPT:
                return
            self._n_unkept = 0
            entries, folders = dict(self._entries), dict(self._tree.seen)
            scratch = self._blobs.partial
            write_summary(self._file, self.folder, entries, folders, scratch=scratch)

    @contextlib.contextmanager
    def _explained(self, name: ModelName) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # ENAMETOOLONG: a good name, but longer than any file's here can be.
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise ModelNotFound(str(name)) from None
            raise in_words(error, f"cannot read the manifest of {name}") from error

    def _load(self, path: str) -> Entry:
        stamp = stamp_of(os.stat(path))  # noqa: PTH116 - a Path costs more than the call
        entry = self._entries.get(path)
        if entry is not None and entry.stamp == stamp and self._tells().files:
            return entry
        return self._compared(path, stamp)

    def _compared(self, path: str, stamp: Stamp) -> Entry:
        """Return what the file of this stamp says; one that holds the same bytes is not parsed."""
        entry = self._entries.get(path)
        if entry is not None and entry.stamp == stamp:
            content = manifests.read_bytes(Path(path))
            if zlib.crc32(content) == entry.checksum:
                return entry
            self.forget(Path(path))
        return self._read(path, stamp)[0]

    def _read(self, path: str, stamp: Stamp) -> tuple[Entry, Manifest]:
        """Return what the file of this stamp says, which is kept once it cannot change unseen."""
        whole = self._whole.get(path)
        if whole is not None and whole[0].stamp == stamp and self._tells().files:
            self._entries.setdefault(path, whole[0])
            return whole
        now_ns = self._now_ns()
        if (known := self._entries.get(path)) is not None and known.stamp != stamp:
            self._entries.pop(path, None)
        here = Path(path)
        content = manifests.read_bytes(here)
        manifest = manifests.decode(content)
        place = self._name_at(here)
        if place is None:
            raise StoreError("the manifest's place means no name")
        if place != manifest.name:
            manifest = replace(manifest, name=place)  # moved by hand: its place counts
        info = _info(manifest, stamp[0])
        entry = Entry(stamp, info, manifest.layers, zlib.crc32(content))
        if is_settled(stamp, now_ns):
            if len(self._whole) >= _MAX_WHOLE:
                self._whole = {}
            self._whole[path] = entry, manifest
            self._n_unkept += path not in self._entries
            self._entries[path] = entry
        return entry, manifest

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
    """Whether the folders and every manifest's file are as they were.

    The hot loop of a list of thousands.
    """
    if sizes is not last.sizes or paths != last.paths:
        return False
    look = os.stat
    try:
        for path, stamp in zip(paths, last.stamps, strict=True):
            if stamp_of(look(path)) != stamp:
                return False
    except OSError:  # it went just now
        return False
    return True


def _holds(entry: Entry, sizes: Mapping[str, int]) -> bool:
    """Whether all its blobs were there when the blobs were last looked through."""
    for layer in entry.layers:  # noqa: SIM110 - a generator costs as much as all the rest
        if sizes.get(f"sha256-{layer.digest[7:]}") != layer.n_bytes:
            return False
    return True


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

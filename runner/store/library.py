"""The library: which models there are, and how one comes, is copied and goes.

Reading needs no lock: manifests appear and vanish whole, blobs never change.  Whatever changes
manifests, or adds or removes blobs, holds the store's lock for that moment; a long copy does not.
A manifest that cannot be read is left where it is, logged, and never stands in another's way.

All methods block; async code calls them in a thread.  Safe from any thread.
"""

from __future__ import annotations

import builtins
import errno
import logging
from collections import OrderedDict
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.domain.model import ModelDetails, ModelInfo
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.progress import Progress
from runner.errors import CorralError, DigestMismatch, ModelNotFound, StoreError
from runner.gguf.metadata import ModelFacts, describe, refuse_unrunnable
from runner.gguf.reader import GgufArray, Header, read_header
from runner.logs import pairs
from runner.store import manifests
from runner.store.blobs import DIGEST, Blobs, Partial
from runner.store.capabilities import capabilities_of
from runner.store.disk import explained, in_words, replace_file
from runner.store.lock import WAIT_S, StoreLock
from runner.store.manifests import MODEL, Layer, Manifest

logger = logging.getLogger(__name__)

_SCRATCH_PREFIX = "manifest-"
_MAX_HEADERS = 8  # kept in memory for ``show``


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
class _Entry:
    """A manifest as read, and what tells whether the file is still the same."""

    stamp: tuple[int, int, int]
    manifest: Manifest
    digest: str


class Library:
    """The models below one folder, which need not exist yet."""

    def __init__(self, models: Path, *, lock_wait_s: float = WAIT_S) -> None:
        self.models = models
        self.blobs = Blobs(models)
        self._manifests = models / "manifests"
        self._scratch = models / "partial"
        self._lock = StoreLock(models / "lock", wait_s=lock_wait_s)
        self._entries: dict[Path, _Entry] = {}
        self._headers: OrderedDict[str, Header] = OrderedDict()
        self._told: set[tuple[Path, str]] = set()  # what is broken is logged once

    # Reading

    def list(self) -> builtins.list[ModelInfo]:
        """Return every usable model, newest first."""
        found, _ = self._scan()
        return sorted(found, key=lambda info: (-info.modified_at, str(info.name)))

    def broken(self) -> builtins.list[Broken]:
        """Return what ``list`` leaves out, and why."""
        return self._scan()[1]

    def find(self, name: ModelName, *, asked: str = "") -> Manifest:
        """Return what ``name`` means.

        Args:
            name: Looked up without regard to case.
            asked: How the user wrote it, for the error.

        Raises:
            ModelNotFound: There is no such name.
            StoreError: Its manifest is damaged, or cannot be read.
        """
        return self._entry(name, asked).manifest

    def info(self, name: ModelName, *, asked: str = "") -> ModelInfo:
        """Return the line of the library for ``name``; raises like ``find``."""
        return _info(self._entry(name, asked))

    def show(self, name: ModelName, *, asked: str = "") -> ModelDetails:
        """Return all there is to tell about ``name``.

        Raises:
            ModelNotFound: There is no such name.
            StoreError: Its manifest is damaged, or its file is missing.
            BadModelFile: Its model file is damaged.
        """
        entry = self._entry(name, asked)
        manifest = entry.manifest
        header = self._header(manifest)
        return ModelDetails(
            info=_info(entry),
            template=manifest.facts.template if manifest.template is None else manifest.template,
            system=manifest.system,
            license=manifest.license or manifest.facts.license,
            options=manifest.parameters,
            messages=manifest.messages,
            metadata={k: v for k, v in header.metadata.items() if not isinstance(v, GgufArray)},
            tensors=tuple((t.name, t.type_name, t.shape) for t in header.tensors),
        )

    def model_path(self, manifest: Manifest) -> Path:
        """Return the model file of ``manifest``.

        Raises:
            StoreError: It is missing, or has another size than it had.
        """
        if problem := self._missing(manifest):
            raise StoreError(
                f"{manifest.name} is damaged: {problem}",
                hint=f"download it again with: corral pull {manifest.name}",
            )
        return self.blobs.path(manifest.model.digest)

    def verify(self, name: ModelName, *, asked: str = "") -> Iterator[Progress]:
        """Read all blobs of ``name`` again and compare their digests; yields progress.

        Raises:
            ModelNotFound: There is no such name.
            StoreError: A blob is missing.
            DigestMismatch: A blob is damaged.
        """
        manifest = self.find(name, asked=asked)
        self.model_path(manifest)
        for layer in manifest.layers:
            yield from self.blobs.verify(layer.digest)

    # Changing

    def add(self, manifest: Manifest) -> ModelInfo:
        """Write ``manifest`` under its name, in place of what the name meant before.

        Raises:
            StoreError: One of its blobs is missing, or the manifest cannot be written.
            DiskFull: There is no room for the manifest.
            StoreBusy: Another process is changing the store.
        """
        with self._lock.hold(f"add {manifest.name}"):
            return self._write(manifest)

    def import_file(
        self,
        path: Path,
        name: ModelName,
        *,
        provenance: Mapping[str, Any],
        parameters: Options | None = None,
        system: str = "",
        template: str | None = None,
        license_text: str = "",
        sha256: str | None = None,
    ) -> Iterator[Progress]:
        """Copy the GGUF file at ``path`` into the library as ``name``; yields progress.

        The phases are ``copying``, ``verifying``, ``writing manifest`` and ``success``; a file
        whose bytes are here already is only hashed.  Closing the iterator before its end leaves
        nothing behind.

        Args:
            path: The file; it is left as it is.
            name: What it will be called; replaces what had that name.
            provenance: Where the file came from: ``source`` at least; ``time`` is added.
            parameters: The model's own options.
            system: Its own system message.
            template: A chat template in place of the file's own.
            license_text: In place of the licence that the file names.
            sha256: The digest it must have, 64 hex digits.

        Raises:
            BadModelFile: It is no whole GGUF model; found before anything is copied.
            DigestMismatch: It is not the file it should be.
            DiskFull: There is no room for it.
            StoreError: The library cannot be written.
            StoreBusy: Another process is changing the store.
        """
        n_bytes = _checked(path)[0]
        expected = f"sha256:{sha256.lower()}" if sha256 else ""
        is_done = False
        while not is_done:
            partial, digest = yield from self._bring(path, n_bytes, expected)
            try:
                yield Progress("verifying", n_bytes, n_bytes, digest)
                if expected and digest != expected:
                    raise DigestMismatch(
                        f"{path.name} is not the expected file: it has the digest {digest},"
                        f" expected was {expected}",
                        hint="download it again",
                    )
                # Of what was hashed: the file may have changed since it was first checked.
                _, facts = _checked(partial.path if partial else self.blobs.path(digest))
                yield Progress("writing manifest")
                manifest = Manifest(
                    name=name,
                    layers=(Layer(MODEL, digest, n_bytes),),
                    facts=facts,
                    parameters=parameters or Options(),
                    system=system,
                    license=license_text,
                    template=template,
                    provenance={**provenance, "time": provenance.get("time") or _now()},
                )
                is_done = self._commit(partial, manifest)
            finally:
                if partial is not None:
                    partial.discard()
        yield Progress("success")

    def keep_blob(self, partial: Partial) -> None:
        """Give an uploaded file its place; it stays until a name uses it, or until a prune.

        Raises:
            StoreError: It cannot be written.
            StoreBusy: Another process is changing the store.
        """
        with self._lock.hold("upload"):
            self.blobs.commit(partial)

    def copy(self, source: ModelName, target: ModelName, *, asked: str = "") -> ModelInfo:
        """Let ``target`` mean what ``source`` means; blobs are shared.

        Raises:
            ModelNotFound: There is no ``source``.
            StoreError: The manifest cannot be written.
            StoreBusy: Another process is changing the store.
        """
        with self._lock.hold(f"copy {source}"):
            entry = self._entry(source, asked)
            if source == target:
                return _info(entry)
            return self._write(replace(entry.manifest, name=target))

    def delete(self, name: ModelName, *, asked: str = "") -> int:
        """Remove ``name``, damaged or not, and the blobs that only it used; return their bytes.

        Raises:
            ModelNotFound: There is no such name.
            StoreError: The manifest cannot be removed.
            StoreBusy: Another process is changing the store.
        """
        path = self._path(name)
        with self._lock.hold(f"delete {name}"):
            try:
                digests = {layer.digest for layer in self._entry(name, asked).manifest.layers}
            except StoreError:  # damaged, and to be removed all the same
                digests = _digests_in(path)
            with explained(f"cannot remove {name}"):
                path.unlink()
                self._remove_empty(path.parent)
            self._entries.pop(path, None)
            return self._drop(digests)

    def prune(self, *, keep: Collection[str] = ()) -> int:
        """Remove what no name uses and what interrupted copies left; return the bytes.

        Called when the daemon starts.  While a manifest is damaged beyond telling which blobs it
        names, no blob is removed.

        Args:
            keep: Digests of blobs whose manifest is still to be written.

        Raises:
            StoreBusy: Another process is changing the store.
            StoreError: The library cannot be read.
        """
        if not self.models.is_dir():
            return 0
        with self._lock.hold("prune"), explained("cannot prune the library"):
            n_bytes = self.blobs.prune_partial()
            for path in self._scratch.glob(f"{_SCRATCH_PREFIX}*"):
                path.unlink(missing_ok=True)  # written under the lock only, and we hold it
            return n_bytes + self._drop(set(self.blobs.digests()) - set(keep))

    # Inside

    def _path(self, name: ModelName) -> Path:
        return self._manifests / manifests.relative_path(name)

    def _paths(self) -> builtins.list[Path]:
        with explained("cannot read the library"):
            return [*manifests.files(self._manifests)]

    def _name_at(self, path: Path) -> ModelName | None:
        return manifests.name_at(path.relative_to(self._manifests))

    def _entry(self, name: ModelName, asked: str) -> _Entry:
        try:
            return self._load(self._path(name))
        except OSError as error:
            # ENAMETOOLONG: a good name, but longer than any file's here can be.
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise ModelNotFound(asked or str(name)) from None
            raise in_words(error, f"cannot read the manifest of {name}") from error

    def _load(self, path: Path) -> _Entry:
        """Return the manifest at ``path``; may raise ``OSError`` or ``StoreError``."""
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        entry = self._entries.get(path)
        if entry is not None and entry.stamp == stamp:
            return entry
        content = manifests.read_bytes(path)
        manifest = manifests.decode(content)
        place = self._name_at(path)
        if place is None:
            raise StoreError("the manifest's place means no name")
        if place != manifest.name:
            manifest = replace(manifest, name=place)  # moved by hand: its place counts
        entry = _Entry(stamp, manifest, manifests.model_id(manifest))
        self._entries[path] = entry
        return entry

    def _scan(self) -> tuple[builtins.list[ModelInfo], builtins.list[Broken]]:
        found: builtins.list[ModelInfo] = []
        broken: builtins.list[Broken] = []
        for path in self._paths():
            try:
                entry = self._load(path)
                if problem := self._missing(entry.manifest):
                    raise StoreError(problem)
            except (OSError, StoreError) as error:
                if path.exists():  # else it was removed while we looked
                    broken.append(Broken(path, self._name_at(path), str(error)))
            else:
                found.append(_info(entry))
        for one in broken:
            if (one.path, one.reason) not in self._told:
                self._told.add((one.path, one.reason))
                logger.warning("model skipped %s", pairs(path=one.path, reason=one.reason))
        return found, broken

    def _missing(self, manifest: Manifest) -> str:
        """Which blob is not there as it should be, in words; empty when all are."""
        for layer in manifest.layers:
            path = self.blobs.path(layer.digest)
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                return f"its file {path.name} is missing"
            except OSError as error:
                return f"its file {path.name} cannot be read: {error.strerror}"
            if size != layer.n_bytes:
                return f"its file {path.name} has {size} bytes instead of {layer.n_bytes}"
        return ""

    def _header(self, manifest: Manifest) -> Header:
        path = self.model_path(manifest)
        digest = manifest.model.digest
        header = self._headers.get(digest)
        if header is None:
            header = self._headers[digest] = read_header(path)
            while len(self._headers) > _MAX_HEADERS:
                self._headers.popitem(last=False)
        return header

    def _bring(
        self, path: Path, n_bytes: int, expected: str
    ) -> Generator[Progress, None, tuple[Partial | None, str]]:
        """Return a copy of ``path`` and its digest; no copy when its bytes are here already."""
        with explained(f"cannot read {path}"):
            file = path.open("rb")
        with file:
            digest = yield from self.blobs.find_same(file, n_bytes, expected)
            if digest:
                return None, digest
            partial = yield from self.blobs.copy(file, n_bytes)
        return partial, partial.digest

    def _commit(self, partial: Partial | None, manifest: Manifest) -> bool:
        """Keep the copy and write the manifest; ``False`` when a blob we found is gone again."""
        with self._lock.hold(f"add {manifest.name}"):
            if partial is not None:
                self.blobs.commit(partial)
            elif self._missing(manifest):
                return False
            self._write(manifest)
        return True

    def _write(self, manifest: Manifest) -> ModelInfo:
        """Write the manifest and drop what its name used before; the lock is held."""
        if problem := self._missing(manifest):
            raise StoreError(f"cannot add {manifest.name}: {problem}")
        path = self._path(manifest.name)
        try:
            before: tuple[Layer, ...] = self._load(path).manifest.layers
        except (OSError, StoreError):
            before = ()
        with explained(f"cannot write the manifest of {manifest.name}", folder=self.models):
            replace_file(
                path,
                manifests.encode(manifest),
                scratch=self._scratch,
                prefix=_SCRATCH_PREFIX,
            )
            self._entries.pop(path, None)
            info = _info(self._load(path))
        self._drop(layer.digest for layer in before)
        return info

    def _drop(self, digests: Iterable[str]) -> int:
        """Remove those of the blobs that no manifest names; the lock is held."""
        candidates = set(digests)
        if not candidates:
            return 0
        used = self._used()
        if used is None:
            return 0
        return sum(self.blobs.delete(digest) for digest in sorted(candidates - used))

    def _used(self) -> set[str] | None:
        """Return every digest that a manifest names; ``None`` when one cannot be told."""
        used: set[str] = set()
        for path in self._paths():
            try:
                used.update(layer.digest for layer in self._load(path).manifest.layers)
                continue
            except (OSError, CorralError):
                pass
            named = _digests_in(path)
            if not named:
                logger.warning("blobs kept %s", pairs(path=path, reason="manifest unreadable"))
                return None
            used |= named
        return used

    def _remove_empty(self, folder: Path) -> None:
        while folder != self._manifests:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


def _checked(path: Path) -> tuple[int, ModelFacts]:
    """Return the size and the facts of a model file that can run.

    Raises:
        BadModelFile: It is none.
    """
    header = read_header(path)
    refuse_unrunnable(header)
    return header.n_file_bytes, describe(header)


def _digests_in(path: Path) -> set[str]:
    """Return whatever looks like a digest in a damaged manifest."""
    try:
        text = manifests.read_bytes(path).decode("latin-1")
    except (OSError, CorralError):
        return set()
    return {match[0] for match in DIGEST.finditer(text)}


def _info(entry: _Entry) -> ModelInfo:
    manifest, facts = entry.manifest, entry.manifest.facts
    return ModelInfo(
        name=manifest.name,
        digest=entry.digest,
        n_bytes=manifest.n_bytes,
        modified_at=entry.stamp[0] / 1e9,
        architecture=facts.architecture,
        n_params=facts.n_params,
        quantization=facts.quantization,
        n_ctx_train=facts.n_ctx_train,
        n_embd=facts.n_embd,
        capabilities=capabilities_of(manifest),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

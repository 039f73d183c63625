"""The library: which models there are, and how one comes, is copied and goes.

Reading needs no lock: manifests appear and vanish whole, blobs never change.  Whatever changes
manifests, or adds or removes blobs, holds the store's lock for that moment; a long copy does not.
A manifest that cannot be read is left where it is, logged, and never stands in another's way.

All methods block; async code calls them in a thread.  Safe from any thread.
"""

from __future__ import annotations

import builtins
import contextlib
import logging
import shutil
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runner.domain.model import ModelDetails, ModelInfo
from runner.domain.name import ModelName
from runner.domain.options import Options
from runner.domain.progress import Progress
from runner.errors import BadModelFile, DigestMismatch, ModelNotFound, StoreError
from runner.gguf.metadata import join_shards
from runner.gguf.reader import GgufArray, Header, read_header
from runner.store import gate, manifests
from runner.store.arrival import tidy_arrivals
from runner.store.blobs import Blobs, Written
from runner.store.disk import explained, extended, plain, replace_file
from runner.store.index import Broken, Index, digests_in
from runner.store.intake import bring
from runner.store.lock import WAIT_S, StoreLock
from runner.store.manifests import MODEL, PROJECTOR, SHARD, Layer, Manifest
from runner.store.probe import PREFIX as PROBE_PREFIX
from runner.store.summary import SCRATCH_PREFIX as INDEX_PREFIX, Entry

logger = logging.getLogger(__name__)

_SCRATCH_PREFIX = "manifest-"
_MAX_HEADERS = 8  # kept in memory for ``show``
_ALL = 2**64  # elements: longer than any array is


class Library:
    """The models below one folder, which need not exist yet."""

    def __init__(
        self, models: Path, *, lock_wait_s: float = WAIT_S, must_exist: bool = False
    ) -> None:
        """Take the folder.

        Args:
            models: Where.
            lock_wait_s: Seconds that a change waits for another one to end.
            must_exist: Whether somebody chose the folder: if it is gone, so is its disk, and that
                is no empty library.
        """
        self._lock_wait_s = lock_wait_s
        self.relocate(models, must_exist=must_exist)

    def relocate(self, models: Path, *, must_exist: bool = True) -> None:
        """Read and write below another folder from now on; called while nobody changes this one."""
        self._must_exist = must_exist
        self.models = models = Path(extended(models))
        self.blobs = Blobs(models)
        self._index = Index(models / "manifests", self.blobs)
        self.quarantine = models / "quarantine"
        self._scratch = models / "partial"
        self._lock = StoreLock(models / "lock", wait_s=self._lock_wait_s)
        self._headers: OrderedDict[str, Header] = OrderedDict()
        self._listed: tuple[builtins.list[Entry], builtins.list[ModelInfo]] = ([], [])

    # Reading

    def list(self) -> builtins.list[ModelInfo]:
        """Return every usable model, newest first."""
        entries = self._index.scan()[0]
        if not entries:
            self._check_there()
        before, infos = self._listed
        if entries is not before:  # else nothing has changed
            infos = [entry.info for entry in entries]
            self._listed = entries, infos
        return infos.copy()

    def broken(self) -> builtins.list[Broken]:
        """Return what ``list`` leaves out, and why."""
        return self._index.scan()[1]

    def manifests(self) -> builtins.list[Manifest]:
        """Return what every name means whose manifest can be read, whole or not, in no order.

        Reads every manifest; ``entries`` has all but the long texts, in no time.
        """
        return self._index.manifests()

    def entries(self) -> builtins.list[Entry]:
        """Return what the list needs to know of the same."""
        return self._index.entries()

    def used(self) -> set[str] | None:
        """Return every digest that a manifest names; ``None`` when one cannot be told."""
        return self._index.used()

    def find(self, name: ModelName) -> Manifest:
        """Return what ``name`` means.

        Args:
            name: Looked up without regard to case.

        Raises:
            ModelNotFound: There is no such name.
            StoreError: Its manifest is damaged, or cannot be read.
        """
        try:
            return self._index.manifest(name)
        except ModelNotFound:
            self._check_there()
            raise

    def info(self, name: ModelName) -> ModelInfo:
        """Return the line of the library for ``name``; raises like ``find``."""
        return self._index.entry(name).info

    def show(self, name: ModelName, *, whole: bool = False) -> ModelDetails:
        """Return all there is to tell about ``name``.

        Args:
            name: Looked up without regard to case.
            whole: With every array of its files, tens of megabytes for a large vocabulary;
                otherwise long ones are empty.

        Raises:
            ModelNotFound: There is no such name.
            StoreError: Its manifest is damaged, or its file is missing.
            BadModelFile: Its model file is damaged.
        """
        entry = self._index.entry(name)
        manifest = self._index.manifest(name)
        header = self._header(manifest)
        template = manifest.facts.template if manifest.template is None else manifest.template
        return ModelDetails(
            info=entry.info,
            template=template,
            system=manifest.system,
            license=manifest.license or manifest.facts.license,
            options=manifest.parameters,
            messages=manifest.messages,
            has_own_template=manifest.template is not None,
            requires=manifest.requires,
            metadata=self._metadata(manifest.model.digest, whole=whole),
            projector=self._projector(manifest, whole=whole),
            tensors=tuple((t.name, t.type_name, t.shape, t.n_bytes) for t in header.tensors),
            provenance=manifest.provenance,
            warnings=gate.warnings(template),
        )

    def model_path(self, manifest: Manifest) -> Path:
        """Return the model file of ``manifest``.

        Raises:
            StoreError: It is missing, or has another size than it had.
        """
        if problem := self._index.missing(manifest.layers):
            raise StoreError(
                f"{manifest.name} is damaged: {problem}",
                hint=f"download it again with: corral pull {manifest.name}",
            )
        return self.blobs.path(manifest.model.digest)

    def header(self, manifest: Manifest) -> Header:
        """Return the header of a model's weights, of several files as if they were one.

        Raises:
            StoreError: A file is missing, or has another size than it had.
            BadModelFile: A file is damaged.
        """
        first = self._header(manifest)
        shards = self.shard_paths(manifest)[1:]
        return join_shards([first, *map(read_header, shards)]) if shards else first

    def shard_paths(self, manifest: Manifest) -> tuple[Path, ...]:
        """Return all files of the weights, when they are several; empty when it is one."""
        kinds = (MODEL, SHARD)
        paths = [self.blobs.path(one.digest) for one in manifest.layers if one.kind in kinds]
        return tuple(paths) if len(paths) > 1 else ()

    def verify(self, name: ModelName) -> Iterator[Progress]:
        """Read all blobs of ``name`` again and compare their digests; yields progress.

        Raises:
            ModelNotFound: There is no such name.
            StoreError: A blob is missing.
            DigestMismatch: A blob is damaged.
        """
        manifest = self.find(name)
        self.model_path(manifest)
        for layer in manifest.layers:
            yield from self.blobs.verify(layer.digest)

    # Changing

    @contextlib.contextmanager
    def changing(self, purpose: str) -> Iterator[None]:
        """Hold the store's lock for a block; raises ``StoreBusy`` and ``StoreError``."""
        with self._lock.hold(purpose):
            yield

    def restore(self, written: Iterable[Written]) -> None:
        """Put whole files in the place of damaged ones that manifests name; raises as ``add``."""
        with self._lock.hold("repair"):
            for one in written:
                self.blobs.commit(one)

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
        n_bytes = gate.checked(path)[0]
        gate.refuse_template(template or "")
        expected = f"sha256:{sha256.lower()}" if sha256 else ""
        is_done = False
        while not is_done:
            partial, digest = yield from bring(self.blobs, path, n_bytes, expected)
            try:
                yield Progress("verifying", n_bytes, n_bytes, digest)
                if expected and digest != expected:
                    raise DigestMismatch(
                        f"{path.name} is not the expected file: it has the digest {digest},"
                        f" expected was {expected}",
                        hint="download it again",
                    )
                # Of what was hashed: the file may have changed since it was first checked.
                _, facts = gate.checked(partial.path if partial else self.blobs.path(digest))
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
                is_done = self.keep([partial] if partial else [], manifest)
            finally:
                if partial is not None:
                    partial.discard()
        yield Progress("success")

    def keep(self, written: Iterable[Written], manifest: Manifest) -> bool:
        """Make blobs of what is ``written``, and write the manifest that names them.

        ``False``, with no manifest written, when a blob that was there before is gone again.
        Raises as ``add``.
        """
        with self._lock.hold(f"add {manifest.name}"):
            for one in written:
                self.blobs.commit(one)
            if self._index.missing(manifest.layers):
                return False
            self._write(manifest)
        return True

    def keep_blob(self, partial: Written) -> None:
        """Give an uploaded file its place; it stays until a name uses it, or until a prune.

        Raises:
            StoreError: It cannot be written.
            StoreBusy: Another process is changing the store.
        """
        with self._lock.hold("upload"):
            self.blobs.commit(partial)

    def copy(self, source: ModelName, target: ModelName) -> ModelInfo:
        """Let ``target`` mean what ``source`` means; blobs are shared.

        Raises:
            ModelNotFound: There is no ``source``.
            StoreError: The manifest cannot be written.
            StoreBusy: Another process is changing the store.
        """
        with self._lock.hold(f"copy {source}"):
            if source == target:
                return self._index.entry(source).info
            return self._write(replace(self._index.manifest(source), name=target))

    def delete(self, name: ModelName) -> int:
        """Remove ``name``, damaged or not, and the blobs that only it used; return their bytes.

        Raises:
            ModelNotFound: There is no such name.
            StoreError: The manifest cannot be removed.
            StoreBusy: Another process is changing the store.
        """
        path = self._index.path(name)
        with self._lock.hold(f"delete {name}"):
            try:
                digests = {layer.digest for layer in self._index.entry(name).layers}
            except StoreError:  # damaged, and to be removed all the same
                digests = digests_in(path)
            with explained(f"cannot remove {name}"):
                path.unlink()
                self._remove_empty(path.parent)
            self._index.forget(path)
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
            tidy_arrivals(self._scratch)
            for prefix in (_SCRATCH_PREFIX, INDEX_PREFIX):
                for path in self._scratch.glob(f"{prefix}*"):
                    # Manifests are written under the lock only, and we hold it; an index that
                    # another process writes now is written another time.
                    path.unlink(missing_ok=True)
            for path in self._scratch.glob(f"{PROBE_PREFIX}*"):
                shutil.rmtree(path, ignore_errors=True)
            return n_bytes + self._drop(self._index.digests() - set(keep))

    # Inside

    def _check_there(self) -> None:
        if self._must_exist and not self.models.is_dir():
            raise StoreError(
                f"the folder of the models is not there: {plain(self.models)}",
                hint="connect its disk; or choose another folder: corral folder",
            )

    def _header(self, manifest: Manifest) -> Header:
        self.model_path(manifest)  # all that it needs is there
        return self._header_of(manifest.model.digest)

    def _projector(self, manifest: Manifest, *, whole: bool) -> Mapping[str, Any]:
        digests = [layer.digest for layer in manifest.layers if layer.kind == PROJECTOR]
        return self._metadata(digests[0], whole=whole) if digests else {}

    def _metadata(self, digest: str, *, whole: bool) -> Mapping[str, Any]:
        """The key/values of a file whose header was read; what is ``whole`` is not kept."""
        header = self._header_of(digest)
        if whole:
            # A vocabulary may have more than the reader keeps of a stranger's file.
            with contextlib.suppress(BadModelFile):
                header = read_header(self.blobs.path(digest), max_array=_ALL)
        return {
            key: () if isinstance(value, GgufArray) else value
            for key, value in header.metadata.items()
        }

    def _header_of(self, digest: str) -> Header:
        header = self._headers.get(digest)
        if header is None:
            header = self._headers[digest] = read_header(self.blobs.path(digest))
            while len(self._headers) > _MAX_HEADERS:
                self._headers.popitem(last=False)
        return header

    def _write(self, manifest: Manifest) -> ModelInfo:
        """Write the manifest and drop what its name used before; the lock is held.

        A name that is there stays spelled as it was first written.
        """
        if problem := self._index.missing(manifest.layers):
            raise StoreError(f"cannot add {manifest.name}: {problem}")
        path = self._index.path(manifest.name)
        try:
            there = self._index.load(path)
        except (OSError, StoreError):
            before: tuple[Layer, ...] = ()
        else:
            before = there.layers
            manifest = replace(manifest, name=there.info.name)
        with explained(f"cannot write the manifest of {manifest.name}", folder=self.models):
            replace_file(
                path,
                manifests.encode(manifest),
                scratch=self._scratch,
                prefix=_SCRATCH_PREFIX,
            )
            self._index.forget(path)
            info = self._index.load(path).info
        self._drop(layer.digest for layer in before)
        return info

    def _drop(self, digests: Iterable[str]) -> int:
        """Remove those of the blobs that no manifest names; the lock is held."""
        candidates = set(digests)
        if not candidates:
            return 0
        used = self._index.used()
        if used is None:
            return 0
        return sum(self.blobs.delete(digest) for digest in sorted(candidates - used))

    def _remove_empty(self, folder: Path) -> None:
        while folder != self._index.folder:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

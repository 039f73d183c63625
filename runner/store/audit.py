"""Whether what the library holds is what it should be: sizes and headers, or every byte."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.domain.storage import Fault, Verified
from runner.errors import BadModelFile, CorralError, ModelNotFound, StoreError
from runner.gguf.reader import read_header
from runner.store.blobs import CHUNK_BYTES
from runner.store.disk import explained, plain
from runner.store.library import Library
from runner.store.manifests import Layer, Manifest

#: Kinds of layers that are GGUF files.
_GGUF = frozenset({"model", "shard", "projector", "adapter"})


@dataclass(frozen=True, slots=True)
class Parts:
    """The digests of a blob's parts, as they were when it arrived.

    Attributes:
        n_bytes: Of each part but the last.
        digests: SHA-256 of each, 64 hex digits.
    """

    n_bytes: int
    digests: tuple[str, ...]

    def n_in(self, part: int, n_file: int) -> int:
        """Bytes of one part of a file of ``n_file`` bytes."""
        return min(self.n_bytes, n_file - part * self.n_bytes)


def parts_of(manifest: Manifest, layer: Layer) -> Parts | None:
    """Return the digests of a layer's parts; ``None`` when its origin was not recorded so."""
    record = record_of(manifest, layer)
    n_bytes, digests = record.get("part_bytes"), record.get("parts")
    if not isinstance(n_bytes, int) or n_bytes <= 0 or not isinstance(digests, list):
        return None
    if len(digests) != -(-layer.n_bytes // n_bytes):
        return None
    return Parts(n_bytes, tuple(str(digest) for digest in digests))


def known_parts(library: Library, layer: Layer) -> Parts | None:
    """Return the digests of a blob's parts, if any manifest of the library has them."""
    for entry in library.entries():
        for other in entry.layers:
            if other.digest != layer.digest:
                continue
            with suppress(ModelNotFound, StoreError):  # it went while we looked
                if parts := parts_of(library.find(entry.info.name), other):
                    return parts
    return None


def record_of(manifest: Manifest, layer: Layer) -> dict[str, object]:
    """Return what the manifest says of a layer's origin; empty when it says nothing."""
    files = manifest.provenance.get("files")
    for record in files if isinstance(files, list) else ():
        if isinstance(record, dict) and record.get("digest") == layer.digest:
            return record
    return {}


def verify(
    library: Library, names: Sequence[ModelName] = (), *, is_deep: bool
) -> Generator[Progress, None, Verified]:
    """Look at models, each file once; yields progress.

    Args:
        library: Theirs.
        names: Which; none: all, damaged manifests among them.
        is_deep: Whether every byte is read and compared with its digest; else sizes and headers.

    Raises:
        ModelNotFound: There is no such name.
        StoreError: The library cannot be read.
    """
    faults: list[Fault] = []
    found: list[Manifest] = []
    for name in names:
        found.append(library.find(name))
    if not names:
        found = library.manifests()
        faults += [
            Fault(
                str(one.name or plain(one.path)),
                "",
                one.reason,
                _again(str(one.name)) if one.name else "",
            )
            for one in library.broken()
            if one.name is None or one.name not in {manifest.name for manifest in found}
        ]
    looked_at: dict[str, tuple[str, int]] = {}
    n_read = 0
    for manifest in sorted(found, key=lambda one: one.name.key):
        yield Progress(f"verifying {manifest.name}")
        for layer in manifest.layers:
            if layer.digest not in looked_at:
                looked_at[layer.digest] = yield from _look(library, manifest, layer, is_deep)
                n_read += layer.n_bytes if is_deep else 0
            reason, n_bad = looked_at[layer.digest]
            if reason:
                file = library.blobs.path(layer.digest).name
                hint = f"mend it with: corral repair {manifest.name}"
                faults.append(Fault(str(manifest.name), file, reason, hint, n_bad))
    return Verified(len(found), n_read, tuple(faults))


def _look(
    library: Library, manifest: Manifest, layer: Layer, is_deep: bool
) -> Generator[Progress, None, tuple[str, int]]:
    """Return what is wrong with one file, and how many of its bytes; empty and 0 for nothing."""
    blobs = library.blobs
    try:
        size = blobs.path(layer.digest).stat().st_size
    except FileNotFoundError:
        return "it is missing", layer.n_bytes
    except OSError as error:
        return f"it cannot be read: {error.strerror}", 0
    if size != layer.n_bytes:
        return f"it has {size} bytes instead of {layer.n_bytes}", 0
    try:
        if is_deep:
            bad = yield from bad_parts(library, layer, parts_of(manifest, layer))
            if bad is not None:
                n_bad, n_parts = bad
                return _in_words(n_bad, n_parts, layer.n_bytes), n_bad
        if layer.kind in _GGUF:
            read_header(blobs.path(layer.digest))
    except BadModelFile as error:
        return f"its header is damaged: {error.message}", 0
    except CorralError as error:
        return error.message, 0
    return "", 0


def bad_parts(
    library: Library, layer: Layer, parts: Parts | None
) -> Generator[Progress, None, tuple[int, int] | None]:
    """Read a blob; return the bytes and the number of its damaged parts, ``None`` when it is good.

    Without the digests of parts all of it is one.
    """
    whole, bad, n_bad = hashlib.sha256(), 0, 0
    states = read_parts(library, layer, parts or Parts(max(1, layer.n_bytes), ("",)), whole)
    with closing(states):
        while True:
            try:
                progress, part, is_good = next(states)
            except StopIteration:
                break
            yield progress
            if is_good is False and parts is not None:
                bad, n_bad = bad + 1, n_bad + parts.n_in(part, layer.n_bytes)
    if f"sha256:{whole.hexdigest()}" == layer.digest:
        return None
    return (n_bad, bad) if n_bad else (layer.n_bytes, 0)


def read_parts(
    library: Library, layer: Layer, parts: Parts, whole: hashlib._Hash
) -> Generator[tuple[Progress, int, bool | None], None, None]:
    """Read a blob into ``whole``; yield progress, the part, and at its end whether it is good.

    Raises:
        StoreError: It cannot be read, or ends too early.
    """
    path = library.blobs.path(layer.digest)
    buffer = memoryview(bytearray(CHUNK_BYTES))
    n_done = 0
    with explained(f"cannot read {path.name}"), path.open("rb", buffering=0) as file:
        for part, digest in enumerate(parts.digests):
            own, n_left = hashlib.sha256(), parts.n_in(part, layer.n_bytes)
            while n_left:
                n = file.readinto(buffer[: min(n_left, len(buffer))])
                if not n:
                    raise StoreError(f"{path.name} ends after {n_done} bytes")
                own.update(buffer[:n])
                whole.update(buffer[:n])
                n_left, n_done = n_left - n, n_done + n
                is_good = None if n_left else own.hexdigest() == digest
                yield Progress("verifying", n_done, layer.n_bytes, layer.digest), part, is_good


def _in_words(n_bad: int, n_parts: int, n_bytes: int) -> str:
    if not n_parts:
        return "its bytes are not those of its digest"
    parts = "one part" if n_parts == 1 else f"{n_parts} parts"
    return f"{parts} of it, {n_bad} of {n_bytes} bytes, are not what they were"


def _again(name: str) -> str:
    return f"download it again with: corral pull {name}"

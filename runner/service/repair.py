"""Damaged files of a model, mended: the good parts stay, the others are fetched again.

What a part should hold was noted when it arrived, and is kept with the file's origin in the
manifest.  The good parts become the beginning of a download of the same file, which then goes on
like one that was broken off.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

from runner.domain.name import ModelName
from runner.domain.progress import Progress
from runner.domain.storage import Repaired
from runner.errors import CorralError, SourceError, StoreError
from runner.hub.source import RemoteFile, Source
from runner.service.downloads import Downloads
from runner.service.run import Run
from runner.store.arrival import PART_BYTES, Arrival, open_arrival
from runner.store.audit import Parts, bad_parts, parts_of, read_parts, record_of
from runner.store.library import Library
from runner.store.manifests import Layer, Manifest


def repair(
    library: Library,
    sources: Sequence[Source],
    downloads: Downloads,
    name: ModelName,
    run: Run,
) -> Generator[Progress, None, Repaired]:
    """Make the damaged files of ``name`` whole; yields progress.  Blocks.

    Raises:
        ModelNotFound: There is no such model.
        StoreError: Its manifest is damaged, or it came from a file that only its owner has.
        SourceError: No place could give the bytes again.
    """
    manifest = library.find(name)
    bad: list[Layer] = []
    for layer in manifest.layers:
        if not (yield from _is_good(library, manifest, layer)):
            bad.append(layer)
    n_fetched = 0
    arrivals: list[Arrival] = []
    try:
        for layer in bad:
            file = _origin(manifest, layer, sources)
            n_fetched += layer.n_bytes - (yield from _save_good(library, manifest, layer))
            if file.is_local:
                arrivals.append((yield from _copied(library, layer, Path(file.location))))
                continue
            brought = yield from downloads.bring(file, run)
            if isinstance(brought, Arrival):
                arrivals.append(brought)
        if arrivals:
            library.restore(arrivals)
    finally:
        for arrival in arrivals:
            arrival.close()
    return Repaired(name, len(bad), sum(layer.n_bytes for layer in bad), n_fetched)


def _is_good(library: Library, manifest: Manifest, layer: Layer) -> Generator[Progress, None, bool]:
    if not library.blobs.has(layer.digest, layer.n_bytes):
        return False
    try:
        return (yield from bad_parts(library, layer, parts_of(manifest, layer))) is None
    except StoreError:  # the disk refuses to read it
        return False


def _save_good(
    library: Library, manifest: Manifest, layer: Layer
) -> Generator[Progress, None, int]:
    """Begin a download of ``layer`` with the parts of its blob that are good; return their bytes.

    What an earlier download of it has left already stays.
    """
    parts = parts_of(manifest, layer)
    if parts is None or parts.n_bytes != PART_BYTES:
        return 0
    arrival = open_arrival(library.blobs.partial, layer.digest, layer.n_bytes)
    if arrival is None:
        return 0  # somebody fetches it just now
    try:
        yield from _copy_good(library, layer, parts, arrival)
        return arrival.n_arrived
    finally:
        arrival.close()


def _copy_good(
    library: Library, layer: Layer, parts: Parts, arrival: Arrival
) -> Generator[Progress, None, None]:
    buffer = memoryview(bytearray(PART_BYTES))
    with contextlib.suppress(CorralError, OSError):  # a blob that is gone, or ends early
        good: list[int] = []
        for progress, part, is_good in read_parts(library, layer, parts, hashlib.sha256()):
            yield replace(progress, phase="saving what is good")
            if is_good:
                good.append(part)
        with library.blobs.path(layer.digest).open("rb", buffering=0) as file:
            for part in good:
                if part in arrival.digests:
                    continue
                view = buffer[: parts.n_in(part, layer.n_bytes)]
                file.seek(part * PART_BYTES)
                if file.readinto(view) == len(view):
                    arrival.write_at(part * PART_BYTES, bytes(view))
                    arrival.note_whole(part, parts.digests[part])
    arrival.sync()


def _origin(manifest: Manifest, layer: Layer, sources: Sequence[Source]) -> RemoteFile:
    """Return where the very bytes of ``layer`` can be had."""
    record = record_of(manifest, layer) or dict(manifest.provenance)
    told = str(record.get("source", ""))
    if told == "file":
        raise StoreError(
            f"{manifest.name} is damaged, and it came from a file of this machine,"
            f" {record.get('file', 'whose name is not known')}",
            hint=f"take that file in again: corral pull ./{record.get('file', 'model.gguf')}",
        )
    names = [manifest.name]
    if told.startswith("hub:") and "/" in str(record.get("repository", "")):
        names.insert(0, _place(manifest.name, told.removeprefix("hub:"), record))
    reason: CorralError | None = None
    for name in names:
        source = next((source for source in sources if source.claims(name)), None)
        try:
            files = source.resolve(name) if source else []
        except CorralError as error:
            reason = reason or error
            continue
        for file in files:
            if file.sha256 and f"sha256:{file.sha256.lower()}" == layer.digest:
                return file
    if reason is not None:
        raise SourceError(
            f"{manifest.name} cannot be mended: {reason.message}", hint=reason.hint
        ) from None
    raise SourceError(
        f"{manifest.name} cannot be mended: its source has another file by now",
        hint=f"take the new one: corral pull {manifest.name}",
    )


def _place(name: ModelName, host: str, record: dict[str, object]) -> ModelName:
    """Return the name that means the recorded file at the recorded revision."""
    namespace, _, model = str(record["repository"]).partition("/")
    revision, path = str(record.get("revision", "")), str(record.get("file", ""))
    return ModelName(host, namespace, model, name.tag, revision, path)


def _copied(library: Library, layer: Layer, path: Path) -> Generator[Progress, None, Arrival]:
    """Return the file at ``path`` as an arrival, once its digest was compared."""
    arrival = open_arrival(library.blobs.partial, layer.digest, layer.n_bytes, is_kept=False)
    if arrival is None:
        raise StoreError("somebody else is fetching the file", hint="try again in a moment")
    try:
        whole, n_done = hashlib.sha256(), 0
        arrival.check_room(layer.n_bytes)
        with path.open("rb") as file:
            while chunk := file.read(4 << 20):
                arrival.write_at(n_done, chunk)
                whole.update(chunk)
                n_done += len(chunk)
                yield Progress("copying", n_done, layer.n_bytes, layer.digest)
        arrival.sync()
        arrival.digest = f"sha256:{whole.hexdigest()}"
        if arrival.digest != layer.digest:
            raise SourceError(f"{path.name} is not the file that is wanted")
    except OSError as error:
        arrival.discard()
        raise SourceError(f"cannot read {path}: {error.strerror}") from None
    except BaseException:
        arrival.discard()
        raise
    return arrival

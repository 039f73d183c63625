"""The library carried to another folder: everything there and whole before anything here goes.

Blobs go first, while the library is used as ever; on the same disk they are linked, since a blob
never changes, elsewhere they are copied and their digests compared.  What may change meanwhile,
manifests above all, goes last, under the store's lock.  Who gives up in between has everything
where it was; whoever goes on later does not bring a blob twice.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Generator, Iterator
from pathlib import Path

from runner.domain.progress import Progress
from runner.domain.storage import FolderPlan
from runner.errors import CorralError, DigestMismatch, DiskFull, InvalidRequest
from runner.logs import pairs
from runner.store.arrival import PREFIX as ARRIVAL_PREFIX
from runner.store.blobs import Blobs, Partial
from runner.store.disk import (
    explained,
    extended,
    make_folder,
    n_free_bytes,
    plain,
    replace_file,
    sync_folder,
)
from runner.store.library import Library

logger = logging.getLogger(__name__)

#: All that a library's folder may hold; a folder with anything else is somebody else's.
_OURS = frozenset({"blobs", "manifests", "partial", "quarantine", "reports", "index", "lock"})
#: What every library has once something was written to it, and Ollama's folder has not.
_MARK = "lock"
_PROBE = ".corral-probe"
_SCRATCH_PREFIX = "carried-"


def checked_folder(text: str, here: Path) -> Path:
    """Return the folder that a person chose for the models; it need not exist.

    Args:
        text: What was written; ``~`` is the home folder.
        here: Where the models are now.

    Raises:
        InvalidRequest: It is no absolute path, lies in the library or around it, is no folder,
            holds files of something else, or cannot be written.
    """
    if "\0" in text:
        raise InvalidRequest("a folder's name has no zero byte", param="folder")
    folder = Path(os.path.expanduser(text.strip()))  # noqa: PTH111 - Path's raises for ~nobody
    if not folder.is_absolute():
        raise InvalidRequest(
            f"the folder must be an absolute path, not '{text[:80]}'",
            hint="name it from the root on, such as /mnt/disk/corral-models",
            param="folder",
        )
    folder = Path(os.path.normpath(folder))
    _refuse_nested(folder, Path(plain(here)))
    try:
        if folder.exists() and not folder.is_dir():
            raise InvalidRequest(f"{folder} is a file, not a folder", param="folder")
        _refuse_strangers(folder)
        _try_to_write(folder)
    except OSError as error:
        raise InvalidRequest(
            f"cannot use {str(folder)[:200]}: {error.strerror}",
            hint="choose a folder that you may write to",
            param="folder",
        ) from None
    return folder


def plan(library: Library, folder: Path) -> FolderPlan:
    """Return what carrying the library to ``folder`` would take.

    Raises:
        StoreError: One of the two cannot be read.
    """
    there = Library(folder)
    n_left = _n_to_write(library, there)
    with explained(f"cannot read {folder}"):
        return FolderPlan(
            folder=str(folder),
            before=plain(library.models),
            n_models=len(library.list()) if library.models.is_dir() else 0,
            n_bytes=sum(size for _, size in _files(library.models)),
            n_left=n_left,
            n_free=n_free_bytes(folder),
            n_there=len(there.list()),
        )


def carry(library: Library, folder: Path) -> Carrier:
    """Return what carries ``library`` to ``folder``.

    Raises:
        InvalidRequest: There are other models there already.
        DiskFull: It does not fit there.
        StoreError: One of the two cannot be read.
    """
    library.list()  # raises where its disk has gone
    there = Library(folder)
    strangers = [path for path in _manifests(folder) if not _is_same(path, library.models, folder)]
    if strangers:
        raise InvalidRequest(
            f"{folder} has models of its own",
            hint="choose an empty folder, or use what is there: corral folder --no-move",
            param="folder",
        )
    n_left = _n_to_write(library, there)
    n_free = n_free_bytes(folder)
    if n_left > n_free:
        raise DiskFull(
            f"cannot move the models: {n_left} bytes are needed, {n_free} bytes are free in"
            f" {folder}",
            hint="choose a larger disk, or make room there; corral rm removes a model here",
        )
    return Carrier(library, folder)


class Carrier:
    """Carries one library; owned by one thread.  Either ``rest`` ends, or ``undo`` is called."""

    def __init__(self, library: Library, folder: Path) -> None:
        self._library = library
        self._from = library.models
        self._to = Path(extended(folder))
        self._blobs = Blobs(self._to)
        self._brought: list[Path] = []
        self._made: list[Path] = []
        self._n_done = self._n_all = 0

    def blobs(self) -> Generator[Progress, None, None]:
        """Bring all blobs that are not there; yields progress over their bytes.

        Raises:
            DigestMismatch: One of them is damaged.
            DiskFull: It does not fit.
            StoreError: It cannot be read or written.
        """
        self._make(self._blobs.folder)
        self._sign()
        here, there = self._library.blobs.digests(), self._blobs.digests()
        self._n_all, self._n_done = sum(here.values()), 0
        yield self._moment()
        for digest, n_bytes in sorted(here.items()):
            if there.get(digest) != n_bytes and self._library.blobs.has(digest):
                yield from self._bring(digest, n_bytes)
            self._n_done += n_bytes
            yield self._moment()

    def rest(self) -> Generator[Progress, None, None]:
        """Bring what came meanwhile, and everything else, manifests last; under the store's lock.

        Raises as ``blobs``.
        """
        yield from self.blobs()
        yield Progress("writing manifests")
        with explained("cannot write the library", folder=self._to):
            for folder in ("reports", "quarantine", "partial"):
                for path, _ in _files(self._from / folder):
                    if folder != "partial" or path.name.startswith(ARRIVAL_PREFIX):
                        self._take(path)
            kept = {path.relative_to(self._from) for path in _manifests(self._from)}
            for name in sorted(kept):
                self._take(self._from / name)
            for path in _manifests(self._to):
                if path.relative_to(self._to) not in kept:  # removed here while blobs were brought
                    path.unlink()
            here = self._library.blobs.digests()
            for path in self._brought:  # what went here meanwhile goes there too
                if path.parent == self._blobs.folder and _digest(path) not in here:
                    path.unlink(missing_ok=True)
            sync_folder(self._to)

    def undo(self) -> None:
        """Remove what was brought, by an earlier process too; what a name means there stays."""
        for path in self._brought:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        with contextlib.suppress(CorralError):
            if self._blobs.digests():
                Library(self._to).prune()
        for folder in reversed(self._made):
            _remove_empty(folder)

    def _bring(self, digest: str, n_bytes: int) -> Generator[Progress, None, None]:
        source, target = self._library.blobs.path(digest), self._blobs.path(digest)
        with contextlib.suppress(OSError):  # another disk, or one without links
            target.unlink(missing_ok=True)  # of another size: never whole
            os.link(source, target)
            self._brought.append(target)
            return
        with explained(f"cannot read {source.name}"):
            try:
                file = source.open("rb")
            except FileNotFoundError:
                return  # its model was removed meanwhile
        with file:
            partial = yield from self._counted(self._blobs.copy(file, n_bytes))
        if partial.digest != digest:
            partial.discard()
            raise DigestMismatch(
                f"cannot move the models: {source.name} is damaged",
                hint="corral verify --deep names the model; corral repair mends it",
            )
        self._brought.append(target)
        self._blobs.commit(partial)

    def _counted(
        self, copying: Generator[Progress, None, Partial]
    ) -> Generator[Progress, None, Partial]:
        """Copy one file, its bytes counted with those of all."""
        with contextlib.closing(copying):
            while True:
                try:
                    now = next(copying)
                except StopIteration as end:
                    found: Partial = end.value
                    return found
                yield self._moment(now.n_done)

    def _take(self, path: Path) -> None:
        """Bring one small file; what has the same bytes there already stays."""
        target = self._to / path.relative_to(self._from)
        if _is_same(target, self._from, self._to):
            return
        self._make(target.parent)
        self._brought.append(target)
        if path.name.startswith(ARRIVAL_PREFIX):
            _copy_arrival(path, target)
        else:
            scratch = self._to / "partial"
            replace_file(target, path.read_bytes(), scratch=scratch, prefix=_SCRATCH_PREFIX)

    def _sign(self) -> None:
        """Say whose folder this is, for whoever finds it if this process ends now."""
        mark = self._to / _MARK
        if not mark.exists():
            self._brought.append(mark)
            with explained("cannot write the library", folder=self._to):
                mark.touch()

    def _make(self, folder: Path) -> None:
        with explained(f"cannot make {plain(folder)}", folder=folder):
            missing = [one for one in (folder, *folder.parents) if not one.exists()]
            self._made += reversed(missing)
            self._made.append(self._to / "partial")
            make_folder(folder)

    def _moment(self, n_more: int = 0) -> Progress:
        return Progress("copying", self._n_done + n_more, self._n_all)


def leave(before: Path, folder: Path) -> int:
    """Remove from ``before`` what is in ``folder`` too, and return the bytes that this freed.

    What came there by another way stays, and so does what Windows has in use.
    """
    before, folder = Path(extended(before)), Path(extended(folder))
    n_freed = 0
    for path, n_bytes in list(_files(before)):
        name = path.relative_to(before)
        is_blob = name.parts[0] == "blobs"
        try:
            there = (folder / name).stat().st_size if name.name not in (_MARK, "index") else -1
            if there == n_bytes if is_blob else there >= 0:
                path.unlink()
                n_freed += n_bytes
        except OSError as error:
            logger.warning("not removed %s", pairs(path=plain(path), reason=error.strerror))
    if not any(True for _ in _files(before / "blobs")):
        for own in (_MARK, "index"):
            with contextlib.suppress(OSError):
                (before / own).unlink()
    for root, _, _ in os.walk(before, topdown=False):
        _remove_empty(Path(root))
    return n_freed


def _refuse_nested(folder: Path, here: Path) -> None:
    if folder == here or _resolved(folder) == _resolved(here):
        raise InvalidRequest(f"the models are in {here} already", param="folder")
    inner, outer = _resolved(folder), _resolved(here)
    if outer in inner.parents or inner in outer.parents:
        raise InvalidRequest(
            f"{folder} and {here}, where the models are, lie within each other",
            hint="choose a folder beside it, or on another disk",
            param="folder",
        )


def _refuse_strangers(folder: Path) -> None:
    if not folder.is_dir():
        return
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if not names or (names <= _OURS and _MARK in names):
        return
    what = "holds files of something else"
    if (folder / "manifests" / "registry.ollama.ai").is_dir():
        what = "is Ollama's own, which removes there what it does not know"
    raise InvalidRequest(
        f"{folder} {what}",
        hint=f"choose an empty folder, such as {folder / 'corral-models'}",
        param="folder",
    )


def _try_to_write(folder: Path) -> None:
    """Raise ``OSError`` where nothing can be written; leaves nothing behind."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    probe = folder / _PROBE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
        for one in missing:
            _remove_empty(one)


def _is_same_disk(here: Path, folder: Path) -> bool:
    """Whether files can be linked from one to the other."""
    try:
        return _existing(here).stat().st_dev == _existing(folder).stat().st_dev
    except OSError:
        return False


def _existing(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.exists())


def _n_to_write(library: Library, there: Library) -> int:
    if _is_same_disk(library.models, there.models):
        return 0
    have = there.blobs.digests()
    blobs = library.blobs.folder
    n_blobs = sum(n for one, n in library.blobs.digests().items() if have.get(one) != n)
    return n_blobs + sum(n for path, n in _files(library.models) if path.parent != blobs)


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield each file below, and its size."""
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root) / name
            with contextlib.suppress(OSError):
                yield path, path.stat().st_size


def _manifests(models: Path) -> list[Path]:
    return [path for path, _ in _files(models / "manifests")]


def _is_same(path: Path, here: Path, there: Path) -> bool:
    """Whether the file ``path`` below ``there`` has the bytes of its like below ``here``."""
    try:
        return path.read_bytes() == (here / path.relative_to(there)).read_bytes()
    except OSError:
        return False


def _digest(blob: Path) -> str:
    return blob.name.replace("sha256-", "sha256:", 1)


def _copy_arrival(path: Path, target: Path) -> None:
    """Copy what has arrived of a download; what has not is a hole, there as here."""
    with path.open("rb") as source, target.open("wb") as copy:
        while chunk := source.read(1 << 20):
            if chunk.strip(b"\0"):
                copy.write(chunk)
            else:
                copy.seek(len(chunk), os.SEEK_CUR)
        copy.truncate(path.stat().st_size)
        copy.flush()
        os.fsync(copy.fileno())


def _resolved(folder: Path) -> Path:
    return Path(os.path.realpath(folder))  # Path's raises for links that lead in a circle


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()

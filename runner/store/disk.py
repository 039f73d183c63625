"""Writing so that a crash leaves the old or the new, and failing in words with numbers."""

from __future__ import annotations

import contextlib
import errno
import ntpath
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePath

from runner.errors import CorralError, DiskFull, StoreError

#: How Windows' paths begin: a share of another machine, one of any length, and both.
_SHARE, _LONG, _LONG_SHARE = "\\\\", "\\\\?\\", "\\\\?\\UNC\\"


@contextlib.contextmanager
def explained(action: str, *, folder: Path | None = None, n_bytes: int = 0) -> Iterator[None]:
    """Turn an ``OSError`` of the block into a ``CorralError``.

    Args:
        action: What failed, first words of the message: ``cannot write the manifest of x``.
        folder: Where it should have been written, to tell what is free there.
        n_bytes: How much.

    Raises:
        DiskFull: There is no room, or no quota.
        StoreError: Anything else that the system refused.
    """
    try:
        yield
    except OSError as error:
        raise in_words(error, action, folder=folder, n_bytes=n_bytes) from error


def in_words(
    error: OSError, action: str, *, folder: Path | None = None, n_bytes: int = 0
) -> CorralError:
    """Return the error for people that says what ``error`` says."""
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(action, folder, n_bytes)
    if error.errno == errno.EXDEV:
        return StoreError(f"{action}: the library has moved meanwhile", hint="try again")
    if error.errno == errno.EFBIG:
        hint = "the disk's file system, or a limit on this process, does not allow files so large"
    elif error.errno in (errno.EACCES, errno.EPERM):
        hint = "check who owns the folder, or choose one of your own: corral folder"
    elif error.errno == errno.EROFS:
        hint = "the disk is mounted read-only; choose a folder elsewhere: corral folder"
    else:
        hint = "check the disk, or choose a folder elsewhere: corral folder"
    file = plain(error.filename or "")
    where = f" ({file})" if file and file not in action else ""
    size = f" {n_bytes} bytes:" if n_bytes else ""
    return StoreError(f"{action}:{size} {reason}{where}", hint=hint)


def disk_full(action: str, folder: Path | None, n_bytes: int) -> DiskFull:
    """Return the error that tells what is needed and what is free."""
    wanted = f"{n_bytes} bytes are needed, " if n_bytes else ""
    free = "the disk is full"
    if folder is not None:
        free = f"{n_free_bytes(folder)} bytes are free in {plain(folder)}"
    return DiskFull(
        f"{action}: {wanted}{free}",
        hint="make room: corral list shows what models take, corral rm removes one",
    )


def n_free_bytes(folder: Path) -> int:
    """Return what this user may still write on the disk of ``folder``, which need not exist."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def extended(path: PurePath, *, is_windows: bool = os.name == "nt") -> PurePath:
    r"""Return ``path`` such that Windows takes it however long it is; elsewhere it is as it was.

    Source: Microsoft, "Maximum Path Length Limitation": 260 characters, but for ``\\?\``.
    """
    text = str(path)
    if not is_windows or text.startswith(_LONG) or not path.is_absolute():
        return path
    text = ntpath.normpath(text)  # behind the prefix ".." is a name like any other
    if text.startswith(_SHARE):
        return type(path)(_LONG_SHARE + text.removeprefix(_SHARE))
    return type(path)(_LONG + text)


def plain(path: PurePath | str) -> str:
    """Return how people write ``path``, which may be as ``extended`` returns it."""
    text = str(path)
    if text.startswith(_LONG_SHARE):
        return _SHARE + text.removeprefix(_LONG_SHARE)
    return text.removeprefix(_LONG)


def open_fd(path: Path, flags: int, mode: int = 0o644) -> int:
    """Return a descriptor of ``path``, as ``os.open`` does, which takes bytes as they are.

    Windows would write two bytes for every end of a line.
    """
    return os.open(path, flags | getattr(os, "O_BINARY", 0), mode)


def make_folder(folder: Path) -> None:
    """Make ``folder`` and its parents, and see to it that they outlive a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Have the system write the folder's entries out; Windows does that by itself."""
    if os.name == "nt":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_file(path: Path, content: bytes, *, scratch: Path, prefix: str) -> None:
    """Give ``path`` this content, whole or not at all.

    Args:
        path: May exist; its folder is made.
        content: All of it.
        scratch: Folder on the same disk for the file while it is incomplete.
        prefix: Of that file's name, so that one left by a crash is known.
    """
    make_folder(scratch)
    make_folder(path.parent)
    fd, name = tempfile.mkstemp(dir=scratch, prefix=prefix)
    temporary = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)

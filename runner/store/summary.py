"""What thousands of manifests said, in one file: so that a start need not read them all again.

It is only ever a shortcut.  Each entry counts while the stamp of its manifest is the one that was
seen when it was read, and a folder's while the folder's is; what had changed so lately that its
stamp proves nothing is not in it.  A file that is damaged, of another version of the program, or of
another place is as good as none, and nobody minds when it is deleted.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from runner import __version__
from runner.domain.model import ModelInfo
from runner.logs import pairs
from runner.store.disk import replace_file
from runner.store.manifests import Layer, key_of
from runner.store.tree import Seen, Stamp

logger = logging.getLogger(__name__)

#: In the models folder.
FILE = "index"
#: Of the name of a file that a crash left in the folder for such.
SCRATCH_PREFIX = "index-"
_FORMAT = 2
_MAX_BYTES = 256 << 20
_N_SUM = 4  # bytes of the checksum, at the beginning of the file
#: Rooms whose code makes an entry of a manifest.
_MAKERS = ("domain", "gguf", "prompt", "store")


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a manifest says, without its long texts.

    Attributes:
        stamp: Of its file.
        info: Its line of the list.
        layers: Its blobs.
        checksum: Of the file's bytes.
    """

    stamp: Stamp
    info: ModelInfo
    layers: tuple[Layer, ...]
    checksum: int

    @property
    def key(self) -> str:
        """What a process that can serve it is known by, as ``Manifest.key``."""
        return key_of(self.layers)


class _Summary(msgspec.Struct, frozen=True, array_like=True):
    """The file's content; what it begins with says whether the rest can be used."""

    format: int
    made_by: str
    folder: str
    entries: dict[str, Entry]
    folders: dict[str, Seen]


_decoder = msgspec.msgpack.Decoder(_Summary)


def read_summary(path: Path, folder: Path) -> tuple[dict[str, Entry], dict[str, Seen]]:
    """Return the entries by path, and the folders, of the manifests below ``folder``.

    Both are empty when there is no file at ``path`` that can be used.
    """
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        if path.stat().st_size > _MAX_BYTES:
            return {}, {}
        content = memoryview(path.read_bytes())
        if _sum(content[_N_SUM:]) == content[:_N_SUM]:
            with _uncollected():
                found = _decoder.decode(content[_N_SUM:])
            if (found.format, found.made_by, found.folder) == (_FORMAT, _maker(), str(folder)):
                return found.entries, found.folders
    return {}, {}


def write_summary(
    path: Path,
    folder: Path,
    entries: Mapping[str, Entry],
    folders: Mapping[str, Seen],
    *,
    scratch: Path,
) -> None:
    """Write what ``read_summary`` returns; a disk that does not take it is no reason to stop.

    Args:
        path: Where.
        folder: The manifests'.
        entries: Settled ones, by the paths of their manifests.
        folders: Settled ones below ``folder``, and itself.
        scratch: For the file while it is incomplete.
    """
    try:
        summary = _Summary(_FORMAT, _maker(), str(folder), dict(entries), dict(folders))
        content = msgspec.msgpack.encode(summary)
        replace_file(path, _sum(content) + content, scratch=scratch, prefix=SCRATCH_PREFIX)
    except OSError as error:
        logger.info("index not written %s", pairs(path=path, reason=error.strerror))


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector from looking, again and again, through what is being made: no garbage."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _sum(content: bytes | memoryview) -> bytes:
    return zlib.crc32(content).to_bytes(_N_SUM, "little")


@functools.cache
def _maker() -> str:
    """Return what tells this program from one that would read other things in a manifest.

    From a checkout, that is its files; a frozen program is one file.
    """
    here = Path(__file__).parents[1]
    files = [path for room in _MAKERS for path in sorted((here / room).rglob("*.py"))]
    seen = [f"{path.name} {path.stat().st_mtime_ns}" for path in files or [Path(sys.executable)]]
    return f"{__version__} {zlib.crc32('|'.join(seen).encode()):08x}"

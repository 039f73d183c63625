"""One kept prompt as a file: format, and how it is written and read without trusting it.

    magic "CORRALKV" · format · length of header · number of tokens · length of state
    header      JSON: key, model, owner_id, created_s, conversation_id (may be missing)
    tokens      32-bit integers
    state       as llama.cpp serialized it
    checksum    BLAKE2b of all before it

Numbers are little-endian.  Whatever is damaged, cut short or not ours reads as ``BadEntry``, and
what a newer version wrote as ``NewerEntry``; nothing here raises anything else but ``OSError``.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from runner.kv.packed import block_name, text_name

FORMAT = 1
SUFFIX = ".kv"
#: How a file begins that is not whole yet.
PART_PREFIX = ".part-"

_MAGIC = b"CORRALKV"
_HEAD = struct.Struct("<8sIIQQ")
_DIGEST_SIZE = 32
_MOST_HEADER = 1 << 16
_INT32 = 4
_LATEST_S = 1e11  # a calendar still knows it
#: Bytes written at once; between two pieces the writer may be told to stop.
_PIECE = 4 << 20

_parts = itertools.count(1)


class BadEntry(Exception):
    """The file is not a whole entry of ours."""


class NewerEntry(BadEntry):
    """An entry that a newer version wrote: not ours to read, nor to remove."""


class Stopped(Exception):
    """Writing was broken off because it was asked to."""


@dataclass(frozen=True, slots=True)
class Header:
    """What an entry is.

    Attributes:
        key: ``CacheKey.as_text`` of what it was computed with.
        model: Digest of the weights.
        owner_id: Whose prompt it is.
        created_s: When it was written, in seconds since the epoch.
        conversation_id: What the caller calls the conversation it is of; empty: nothing.
    """

    key: str
    model: str
    owner_id: str
    created_s: float
    conversation_id: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A whole entry: ``tokens`` packed, and the ``state`` they came to."""

    header: Header
    tokens: bytes
    state: bytes


def file_name(tokens: bytes) -> str:
    """Return the name of the entry for packed ``tokens``: how it begins, then all of it."""
    return f"{block_name(tokens)}-{text_name(tokens)}{SUFFIX}"


def block_of(name: str) -> str:
    """Return how the text of a file of that name begins; empty when it is no entry's name."""
    block, _, rest = name.partition("-")
    return block if rest.endswith(SUFFIX) else ""


def write_entry(
    folder: Path,
    entry: Entry,
    *,
    must_stop: Callable[[], bool] = lambda: False,
    placing: AbstractContextManager[None] | None = None,
) -> Path:
    """Write an entry whole or not at all, and return where it is.

    Args:
        folder: There; made when it is missing.
        entry: What to write.
        must_stop: Asked between two pieces.
        placing: Entered while the entry takes its place; may raise ``Stopped`` instead.

    Raises:
        OSError: The disk refused; nothing is left behind.
        Stopped: ``must_stop`` or ``placing`` said so; nothing is left behind.
    """
    target = folder / file_name(entry.tokens)
    part, descriptor = _new_part(folder)
    try:
        with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor
            _write_all(file, entry, must_stop)
            os.fsync(file.fileno())
        with placing or contextlib.nullcontext():
            part.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    _sync_folder(folder)
    return target


def _new_part(folder: Path) -> tuple[Path, int]:
    """Create a file of our own in ``folder``, which others may remove while it is empty."""
    part = folder / f"{PART_PREFIX}{os.getpid()}-{next(_parts)}"
    for is_last_try in (False, False, True):
        try:
            _make_private(folder)
            # Windows would translate line ends without O_BINARY.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            return part, os.open(part, flags, 0o600)
        except FileNotFoundError:
            if is_last_try:
                raise
    raise AssertionError("the last try returns or raises")


def _make_private(folder: Path) -> None:
    """Make a folder, and those above it, for their owner alone; those that are there stay."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _write_all(file: BinaryIO, entry: Entry, must_stop: Callable[[], bool]) -> None:
    header = json.dumps(
        {
            "key": entry.header.key,
            "model": entry.header.model,
            "owner_id": entry.header.owner_id,
            "created_s": entry.header.created_s,
            "conversation_id": entry.header.conversation_id,
        }
    ).encode()
    head = _HEAD.pack(_MAGIC, FORMAT, len(header), len(entry.tokens) // _INT32, len(entry.state))
    checksum = hashlib.blake2b(digest_size=_DIGEST_SIZE)
    for run in (head + header, entry.tokens, entry.state):
        view = memoryview(run)
        for start in range(0, len(view), _PIECE):
            if must_stop():
                raise Stopped
            piece = view[start : start + _PIECE]
            checksum.update(piece)
            _write(file, piece)
    _write(file, memoryview(checksum.digest()))


def _write(file: BinaryIO, piece: memoryview) -> None:
    while piece:  # a full disk takes a part of it, and then refuses
        piece = piece[file.write(piece) :]


def read_header(path: Path) -> tuple[Header, bytes]:
    """Return what a file says of itself and its packed tokens; neither is checked yet.

    Raises:
        BadEntry: It is not an entry, or too short for what it says.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        header, n_tokens, _ = _read_head(file)
        return header, _read(file, n_tokens * _INT32)


def read_facts(path: Path) -> tuple[Header, int]:
    """Return what a file says of itself and how many tokens it has; unchecked, as above.

    Raises:
        BadEntry: It is not an entry, or too short for what it says.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        header, n_tokens, _ = _read_head(file)
        return header, n_tokens


def read_entry(path: Path) -> Entry:
    """Return a whole entry, its checksum verified.

    Raises:
        BadEntry: It is damaged, cut short, or no entry.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        header, n_tokens, n_state = _read_head(file)
        n_front = file.tell()
        tokens = _read(file, n_tokens * _INT32)
        state = _read(file, n_state)
        told = _read(file, _DIGEST_SIZE)
        if file.read(1):
            raise BadEntry("bytes after its end")
        file.seek(0)
        checksum = hashlib.blake2b(_read(file, n_front), digest_size=_DIGEST_SIZE)
    checksum.update(tokens)
    checksum.update(state)
    if checksum.digest() != told:
        raise BadEntry("the checksum does not fit")
    return Entry(header, tokens, state)


def _read_head(file: BinaryIO) -> tuple[Header, int, int]:
    """Read up to the tokens; return the header, how many they are, and the bytes of the state."""
    n_file = os.fstat(file.fileno()).st_size
    magic, number, n_header, n_tokens, n_state = _HEAD.unpack(_read(file, _HEAD.size))
    if magic != _MAGIC:
        raise BadEntry("not an entry")
    if number > FORMAT:
        raise NewerEntry(f"format {number}, this version knows {FORMAT}")
    n_all = _HEAD.size + n_header + n_tokens * _INT32 + n_state + _DIGEST_SIZE
    if number != FORMAT or n_header > _MOST_HEADER or n_all != n_file:
        raise BadEntry(f"{n_file} bytes where its head says {n_all}")
    return _parse_header(_read(file, n_header)), n_tokens, n_state


def _parse_header(raw: bytes) -> Header:
    try:
        told = json.loads(raw)
        created_s = told["created_s"]
        key, model, owner_id = (told[name] for name in ("key", "model", "owner_id"))
        conversation = told.get("conversation_id", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadEntry("its header cannot be read") from None
    is_time = isinstance(created_s, float) and 0 <= created_s < _LATEST_S
    words = (key, model, owner_id, conversation)
    if not is_time or not all(isinstance(word, str) for word in words):
        raise BadEntry("its header has other types")
    return Header(key, model, owner_id, created_s, conversation)


def _read(file: BinaryIO, n: int) -> bytes:
    raw = file.read(n)
    if len(raw) < n:
        raise BadEntry("cut short")
    return raw


def _sync_folder(folder: Path) -> None:
    """Make a rename last; where folders cannot be synced, the worst is a lost entry."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

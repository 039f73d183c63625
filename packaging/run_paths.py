"""Takes out of a bundle's libraries where their builder's machine had others.

A Python that was built to find its own library (pyenv's are) leaves the folder of that machine in
each of its modules as a *run path*, and the loader looks there first, on whatever machine it is.
In a bundle all libraries are beside each other: what begins with ``$ORIGIN`` stays, the rest goes.

The format is that of ``elf.h``; other files than 64-bit little-endian ELF are left as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, least significant byte first
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 0, 5, 15, 29
_ENTRY = struct.Struct("<qQ")  # Elf64_Dyn: tag and value


def leave_out_foreign(folder: Path) -> list[str]:
    """Rewrite the files of ``folder`` that name others' folders; returns their names."""
    changed = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                continue
        content = bytearray(path.read_bytes())
        if own_alone(content):
            path.write_bytes(content)
            changed.append(path.name)
    return changed


def own_alone(content: bytearray) -> bool:
    """Leave only what begins with ``$ORIGIN`` in the run paths of one file; pure.

    Args:
        content: The file, changed in place; its length stays.

    Returns:
        Whether anything was changed.

    Raises:
        ValueError: It is no whole ELF file.
    """
    try:
        return _own_alone(content)
    except (struct.error, IndexError) as error:
        raise ValueError(f"no whole ELF file: {error}") from None


def run_paths(content: bytes | bytearray) -> list[str]:
    """Return the run paths of one file, as they stand there."""
    return [_text(content, at) for _, at in _places(content)]


def _own_alone(content: bytearray) -> bool:
    is_changed = False
    # From the end: removing an entry moves those behind it.
    for entry, at in reversed(list(_places(content))):
        old = _text(content, at)
        new = ":".join(part for part in old.split(":") if part.startswith("$ORIGIN"))
        if new == old:
            continue
        is_changed = True
        if new:
            content[at : at + len(old)] = new.encode().ljust(len(old), b"\0")
        else:
            _remove(content, entry)
    return is_changed


def _places(content: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Yield of each run path where its entry is, and where its text is, in bytes of the file."""
    entries = list(_entries(content))
    texts = next((value for _, tag, value in entries if tag == _DT_STRTAB), 0)
    for entry, tag, value in entries:
        if tag in (_DT_RPATH, _DT_RUNPATH):
            yield entry, _in_file(content, texts + value)


def _entries(content: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """Yield the place, tag and value of what the loader reads."""
    for kind, offset, _, n_bytes in _segments(content):
        if kind != _PT_DYNAMIC:
            continue
        for at in range(offset, offset + n_bytes, _ENTRY.size):
            tag, value = _ENTRY.unpack_from(content, at)
            if tag == _DT_NULL:
                return
            yield at, tag, value


def _segments(content: bytes | bytearray) -> Iterator[tuple[int, int, int, int]]:
    """Yield kind, place in the file, place in memory and bytes of each segment."""
    (first,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    for number in range(count):
        kind, _, offset, address, _, n_bytes = struct.unpack_from(
            "<IIQQQQ", content, first + number * size
        )
        yield kind, offset, address, n_bytes


def _in_file(content: bytes | bytearray, address: int) -> int:
    for kind, offset, start, n_bytes in _segments(content):
        if kind == _PT_LOAD and start <= address < start + n_bytes:
            return offset + address - start
    raise IndexError(f"no segment has the address {address:#x}")


def _text(content: bytes | bytearray, at: int) -> str:
    return bytes(content[at : content.index(0, at)]).decode()


def _remove(content: bytearray, entry: int) -> None:
    """Move the entries behind ``entry`` up by one, up to the one that ends them."""
    at = entry
    while _ENTRY.unpack_from(content, at)[0] != _DT_NULL:
        content[at : at + _ENTRY.size] = content[at + _ENTRY.size : at + 2 * _ENTRY.size]
        at += _ENTRY.size

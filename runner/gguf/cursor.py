"""A place in a GGUF file, and the numbers and strings that follow it; every step within bounds.

What they are of is for ``reader.py``.  Whatever a length in the file says, no more is read or kept
than the file has and these limits allow.
"""

from __future__ import annotations

import struct
from typing import Any, Protocol

from runner.errors import BadModelFile

#: Bytes read at a time; the whole header of a small model.
_CHUNK = 1 << 20

# Limits far beyond any real model, so that a hostile file costs neither memory nor time.
_MAX_STRINGS = 1 << 22  # walked in all arrays together; vocabularies have up to 2**18
_MAX_KEPT_BYTES = 1 << 24  # of strings that become Python objects
_MAX_KEPT_ELEMENTS = 1 << 21  # of arrays that become tuples

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")

_AGAIN = "the file is damaged or incomplete: download it again"


class Readable(Protocol):
    """Bytes to go about in; a reading may give fewer than asked for only at the end."""

    def seek(self, offset: int, /) -> int:
        """Go to ``offset`` from the beginning."""
        ...

    def read(self, n_bytes: int, /) -> bytes | None:
        """Return the next bytes."""
        ...


class Cursor:
    """A position in the file, with every step checked against the file's end."""

    def __init__(self, file: Readable, name: str, n_file_bytes: int) -> None:
        self.name = name
        self.n_file_bytes = n_file_bytes
        self._file = file
        self._buffer = b""
        self._base = 0  # the buffer's place in the file
        self._pos = 0  # in the buffer; may lie behind its end after a skip
        self._n_strings = 0
        self._n_kept_bytes = 0
        self._n_kept_elements = 0

    @property
    def offset(self) -> int:
        """The position, from the start of the file."""
        return self._base + self._pos

    @property
    def n_left(self) -> int:
        """Bytes to the file's end."""
        return self.n_file_bytes - self.offset

    def bad(self, reason: str, *, at: int | None = None, hint: str = _AGAIN) -> BadModelFile:
        """Return the error for what is wrong at byte ``at``, here by default."""
        offset = self.offset if at is None else at
        return BadModelFile(f"{self.name}: at byte {offset}: {reason}", hint=hint)

    def peek(self, n_bytes: int) -> bytes:
        """Return up to ``n_bytes`` from here without moving."""
        self._fill(min(n_bytes, self.n_left))
        return self._buffer[self._pos : self._pos + n_bytes]

    def u32(self, what: str) -> int:
        return int(self._unpack(_U32, what)[0])

    def u64(self, what: str) -> int:
        return int(self._unpack(_U64, what)[0])

    def keep(self, count: int) -> None:
        """Account for ``count`` elements that become Python objects."""
        self._n_kept_elements += count
        if self._n_kept_elements > _MAX_KEPT_ELEMENTS:
            raise self.bad(f"arrays of more than {_MAX_KEPT_ELEMENTS} elements together")

    def scalars(self, letter: str, count: int, what: str) -> tuple[Any, ...]:
        """Return ``count`` numbers of the ``struct`` type ``letter``."""
        self.keep(count)
        return self._unpack(struct.Struct(f"<{count}{letter}"), what)

    def string(self, what: str, max_bytes: int = _MAX_KEPT_BYTES) -> bytes:
        """Return a string's bytes: a 64-bit length, then as many bytes."""
        start = self.offset
        length = self.u64(f"the length of {what}")
        if length > self.n_left:
            raise self.bad(
                f"{what} has a length of {length}, but only {self.n_left} bytes are left", at=start
            )
        if length > max_bytes:
            raise self.bad(f"{what} is {length} bytes long; at most {max_bytes} are allowed")
        self._n_kept_bytes += length
        if self._n_kept_bytes > _MAX_KEPT_BYTES:
            raise self.bad(f"strings of more than {_MAX_KEPT_BYTES} bytes together")
        self._fill(length)
        text = self._buffer[self._pos : self._pos + length]
        self._pos += length
        return text

    def skip(self, n_bytes: int, what: str) -> None:
        """Move on without reading."""
        if n_bytes > self.n_left:
            raise self._cut(what, n_bytes)
        self._pos += n_bytes

    def skip_strings(self, count: int, what: str) -> None:
        """Move over ``count`` strings: the hot loop of this room, 0.1 µs a string."""
        self._n_strings += count
        if self._n_strings > _MAX_STRINGS:
            raise self.bad(f"arrays of more than {_MAX_STRINGS} strings together")
        unpack, left = _U64.unpack_from, count
        while left:
            self._need(_U64.size, what)
            buffer, base, pos = self._buffer, self._base, self._pos
            start, countdown = pos, range(left, 0, -1)
            try:
                for left in countdown:  # noqa: B007 - still right when the loop breaks off
                    start, pos = pos, pos + 8 + unpack(buffer, pos)[0]
                left = 0
            except (struct.error, OverflowError):
                pass  # the buffer ends before the next length
            self._pos = pos
            if self.n_left < 0:
                raise self.bad(
                    f"a string in {what} has a length of {pos - start - 8},"
                    f" but the file ends {self.n_file_bytes - base - start - 8} bytes further",
                    at=base + start,
                )

    def _unpack(self, layout: struct.Struct, what: str) -> tuple[Any, ...]:
        self._need(layout.size, what)
        values = layout.unpack_from(self._buffer, self._pos)
        self._pos += layout.size
        return values

    def _need(self, n_bytes: int, what: str) -> None:
        if n_bytes > self.n_left:
            raise self._cut(what, n_bytes)
        self._fill(n_bytes)

    def _fill(self, n_bytes: int) -> None:
        """Have ``n_bytes`` from here in the buffer; they lie within the file."""
        if self._pos + n_bytes <= len(self._buffer):
            return
        self._base, self._pos = self.offset, 0
        self._file.seek(self._base)
        self._buffer = self._file.read(max(n_bytes, _CHUNK)) or b""
        if len(self._buffer) < n_bytes:
            raise self.bad("the file became shorter while it was read")

    def _cut(self, what: str, n_bytes: int) -> BadModelFile:
        return self.bad(
            f"{what} needs {n_bytes} bytes, but the file ends {max(self.n_left, 0)} bytes further"
            f" ({self.n_file_bytes} bytes in all)"
        )

"""Bytes of a remote file, fetched as they are read: enough for its header, never its weights.

The piece that is asked for grows with each request, since who reads on will read more: a small
header is one request, one with a vocabulary of a quarter of a million words is five.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from runner.errors import SourceError
from runner.hub.source import Candidate, RemoteFile
from runner.hub.wire import Origin, Setback, Wire

_FIRST_BYTES, _LARGEST_BYTES = 512 << 10, 8 << 20
#: A header with more than this in front of it is no header; the largest known has 20 MiB.
MOST_BYTES = 64 << 20
#: Seconds for all of it, and for a connection without a byte.
_PATIENCE_S, _STALL_S = 30.0, 10.0
_TRIES = 2  # of each place


@dataclass(slots=True)
class _Window:
    """Bytes that are here, and their place in the file."""

    start: int = 0
    content: bytes = b""

    @property
    def end(self) -> int:
        """Offset behind the last one."""
        return self.start + len(self.content)


class RangedFile:
    """A remote file to seek and read in, as far as ``gguf.reader`` does.  For one thread.

    Attributes:
        n_bytes: Size of the whole file.
        n_fetched: Bytes that came so far.
    """

    def __init__(
        self,
        file: RemoteFile,
        *,
        most_bytes: int = MOST_BYTES,
        patience_s: float = _PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``most_bytes`` and ``patience_s`` end a reading that goes on and on."""
        self.n_bytes = file.n_bytes
        self.n_fetched = 0
        self._file = file
        places: tuple[RemoteFile | Candidate, ...] = (file, *file.candidates)
        self._origins = [Origin(place, file) for place in places]
        self._wire = Wire(_STALL_S)
        self._most_bytes = most_bytes
        self._deadline = clock() + patience_s
        self._clock = clock
        self._window = _Window()
        self._pos = 0
        self._next_bytes = _FIRST_BYTES

    def seek(self, offset: int) -> int:
        """Go to ``offset`` from the beginning; asks nobody."""
        self._pos = offset
        return offset

    def read(self, n_bytes: int) -> bytes:
        """Return the next bytes: fewer than asked for, but not less than one unless at the end.

        Raises:
            SourceError: No place gives them, or more was read than a header can have.
        """
        if not self._window.start <= self._pos < self._window.end:
            self._window = _Window(self._pos)
        end = min(self._pos + n_bytes, self.n_bytes)
        while self._window.end < end:
            self._fetch(end)
        first = self._pos - self._window.start
        piece = self._window.content[first : first + max(0, end - self._pos)]
        self._pos += len(piece)
        return piece

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def _fetch(self, wanted_end: int) -> None:
        """Have more bytes behind the window, and drop what was read before them."""
        first = self._window.end
        last = min(max(wanted_end, first + self._next_bytes), self.n_bytes)
        self._next_bytes = min(self._next_bytes * 2, _LARGEST_BYTES)
        if self.n_fetched + last - first > self._most_bytes:
            raise SourceError(
                f"the header of {self._file.name} has more than {self._most_bytes >> 20} MiB",
                hint="no model has such a header: it is damaged, or no GGUF file",
            )
        read = self._window.content[self._pos - self._window.start :]
        self._window = _Window(self._pos, read + self._range(first, last))

    def _range(self, first: int, last: int) -> bytes:
        """Return exactly these bytes, from the first place that gives them."""
        reasons: list[str] = []
        for origin in self._origins * _TRIES:
            if origin.is_dead:
                continue
            if self._clock() > self._deadline:
                reasons.append("it takes too long")
                break
            try:
                return self._ask(origin, first, last)
            except Setback as setback:
                origin.is_dead = setback.is_lasting
                reasons.append(setback.words)
        raise SourceError(
            f"cannot read the header of {self._file.name}: {'; '.join(dict.fromkeys(reasons))}",
            hint="try again later; pulling the model does not need it",
        )

    def _ask(self, origin: Origin, first: int, last: int) -> bytes:
        body = self._wire.ask(origin, first, last)
        if body.is_whole_file and first > self._most_bytes:
            raise Setback(f"{origin.label} sends no ranges", is_lasting=True)
        pieces: list[bytes] = []
        while body.first < last:
            piece = body.read(min(256 << 10, last - body.first))
            self.n_fetched += len(piece)
            if body.first > first:
                pieces.append(piece[max(0, len(piece) - (body.first - first)) :])
            if self._clock() > self._deadline:
                raise Setback(f"{origin.label} is too slow", is_lasting=True)
        self._wire.finish()
        return b"".join(pieces)

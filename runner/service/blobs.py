"""Files that clients upload, to be made into models afterwards."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from runner.errors import InvalidRequest
from runner.store.blobs import Partial
from runner.store.disk import explained
from runner.store.library import Library

#: As Ollama takes digests; letters of either case.
_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")
#: Gathered before each write, in bytes.
_WRITE_BYTES = 1 << 20


class BlobService:
    """Says which blobs there are and takes new ones in."""

    def __init__(self, library: Library) -> None:
        """Take the library that they go to."""
        self._library = library

    async def has(self, digest: str) -> bool:
        """Whether the blob is there.

        Raises:
            InvalidRequest: ``digest`` is none.
        """
        return await asyncio.to_thread(self._library.blobs.has, parse_digest(digest))

    async def receive(self, digest: str, chunks: AsyncIterator[bytes]) -> bool:
        """Take a blob in; returns whether it is new.

        One that is there already is not read.  What is cut off, or has other bytes than its name
        says, leaves nothing behind.

        Raises:
            InvalidRequest: ``digest`` is none, or not that of the bytes.
            DiskFull: There is no room.
            StoreError: It cannot be written.
            StoreBusy: Another process is changing the store.
        """
        wanted = parse_digest(digest)
        blobs = self._library.blobs
        if await asyncio.to_thread(blobs.has, wanted):
            return False
        with explained("cannot keep the upload", folder=blobs.folder.parent):
            partial = await asyncio.to_thread(Partial, blobs.partial)
        try:
            await self._write(partial, chunks)
            if partial.digest != wanted:
                raise InvalidRequest(
                    f'digest mismatch, expected "{wanted}", got "{partial.digest}"',
                    hint="upload the file again",
                    param="digest",
                )
            await asyncio.to_thread(self._library.keep_blob, partial)
        finally:
            await asyncio.to_thread(partial.discard)
        return True

    async def _write(self, partial: Partial, chunks: AsyncIterator[bytes]) -> None:
        """Write piece after piece, never two at a time."""
        folder = self._library.blobs.folder.parent
        held = bytearray()
        async for chunk in chunks:
            held += chunk
            if len(held) >= _WRITE_BYTES:
                with explained("cannot keep the upload", folder=folder, n_bytes=len(held)):
                    await asyncio.to_thread(partial.write, bytes(held))
                held.clear()
        with explained("cannot keep the upload", folder=folder, n_bytes=len(held)):
            await asyncio.to_thread(partial.write, bytes(held))
            await asyncio.to_thread(partial.sync)


def parse_digest(text: str) -> str:
    """Return ``sha256:`` and 64 lower-case hex digits.

    Raises:
        InvalidRequest: ``text`` is no digest.
    """
    match = _DIGEST.fullmatch(text)
    if match is None:
        raise InvalidRequest(
            "invalid digest format", hint="write sha256: and 64 hex digits", param="digest"
        )
    return f"sha256:{match[1].lower()}"

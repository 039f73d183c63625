"""How large a picture is, from the head of its file; nothing is decoded.

Sources: PNG (W3C, IHDR), GIF89a, JPEG (ITU T.81, SOFn segments), WebP (RFC 9649), BMP
(BITMAPINFOHEADER).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PictureSize:
    """A picture's format, and its width and height in pixels."""

    format: str
    width: int
    height: int


def size_of(content: bytes) -> PictureSize | None:
    """Return the size that the file's head tells; ``None``: it is no picture of a known format."""
    try:
        for read in (_png, _gif, _jpeg, _webp, _bmp):
            if found := read(content):
                return found if found.width > 0 and found.height > 0 else None
    except (struct.error, IndexError):  # the head is cut short
        pass
    return None


def _png(content: bytes) -> PictureSize | None:
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or content[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", content, 16)
    return PictureSize("png", width, height)


def _gif(content: bytes) -> PictureSize | None:
    if content[:6] not in (b"GIF87a", b"GIF89a"):
        return None
    width, height = struct.unpack_from("<HH", content, 6)
    return PictureSize("gif", width, height)


def _jpeg(content: bytes) -> PictureSize | None:
    if not content.startswith(b"\xff\xd8\xff"):
        return None
    at = 2
    while at < len(content):
        while content[at] == 0xFF and content[at + 1] == 0xFF:  # padding before a marker
            at += 1
        if content[at] != 0xFF:
            return None
        marker = content[at + 1]
        # Start of frame, but for DHT, JPG and DAC, which lie between.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, at + 5)
            return PictureSize("jpeg", width, height)
        if marker in (0xD9, 0xDA):  # the end, or the data: no frame came before
            return None
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a segment
            at += 2
            continue
        (n_bytes,) = struct.unpack_from(">H", content, at + 2)
        at += 2 + max(2, n_bytes)
    return None


def _webp(content: bytes) -> PictureSize | None:
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        return None
    match content[12:16]:
        case b"VP8X":
            width = int.from_bytes(content[24:27], "little") + 1
            height = int.from_bytes(content[27:30], "little") + 1
            return PictureSize("webp", width, height) if len(content) >= 30 else None
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", content, 21)
            return PictureSize("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", content, 26)
            return PictureSize("webp", width & 0x3FFF, height & 0x3FFF)
        case _:
            return None


def _bmp(content: bytes) -> PictureSize | None:
    if content[:2] != b"BM":
        return None
    (n_header,) = struct.unpack_from("<I", content, 14)
    if n_header < 40:
        return None
    width, height = struct.unpack_from("<ii", content, 18)
    return PictureSize("bmp", width, abs(height))

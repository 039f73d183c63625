"""What a file that is not GGUF seems to be, and what its owner can do about it."""

from __future__ import annotations

_DOWNLOAD = "download the .gguf file itself"
_CONVERT = "look for a GGUF build of this model; repositories that have one often end in -GGUF"

#: First bytes, what they tell, and a hint.
_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "it is a Git LFS pointer, which stands for the real file",
        "fetch the real file: git lfs pull, or download it from the model's page",
    ),
    (b"PK\x03\x04", "it looks like a zip archive, as PyTorch checkpoints are", _CONVERT),
    (b"PK\x05\x06", "it is an empty zip archive", _DOWNLOAD),
    (b"\x1f\x8b", "it is compressed with gzip", "unpack it first"),
    (b"(\xb5/\xfd", "it is compressed with zstd", "unpack it first"),
    (b"\xfd7zXZ", "it is compressed with xz", "unpack it first"),
    (b"7z\xbc\xaf", "it is a 7z archive", "unpack it first"),
    (b"\x89HDF", "it looks like an HDF5 file (Keras weights)", _CONVERT),
    (b"lmgg", "it is a ggml file from before GGUF", _CONVERT),
    (b"fmgg", "it is a ggml file from before GGUF", _CONVERT),
    (b"tjgg", "it is a ggml file from before GGUF", _CONVERT),
    (b"algg", "it is a ggml adapter from before GGUF", _CONVERT),
    (b"FUGG", "it is big-endian GGUF", "look for a little-endian build of this model"),
)


def describe_other(start: bytes) -> tuple[str, str]:
    """Return what a file that begins with ``start`` looks like, and a hint.

    Args:
        start: The first bytes, up to 512; all of them when the file is shorter.
    """
    if not start:
        return "it is empty", _DOWNLOAD
    for signature, looks, hint in _SIGNATURES:
        if start.startswith(signature):
            return looks, hint
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "it is a web page", f"the address led to a page instead of the file: {_DOWNLOAD}"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 32:
        return "it looks like a safetensors file", _CONVERT
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "it looks like a Python pickle, as old PyTorch checkpoints are", _CONVERT
    if text.startswith((b"{", b"[")):
        return "it looks like JSON", _DOWNLOAD
    if not start.strip(b"\0"):
        return "it begins with zeros, as a download does that got no bytes", _DOWNLOAD
    shown = start[:4].hex(" ")
    return f"it begins with {shown}, not with 47 47 55 46 ('GGUF')", _DOWNLOAD

"""Sizes of pictures, from the heads of their files."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, strategies as st

from runner.domain.picture import PictureSize, size_of


def png(width, height):
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + bytes(5)


def gif(width, height):
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(3)


def jpeg(width, height, *, before=b"\xff\xe0\x00\x04ab"):
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3)
    return b"\xff\xd8" + before + frame


def webp_lossless(width, height):
    bits = (width - 1) | (height - 1) << 14
    return b"RIFF\x00\x00\x00\x00WEBPVP8L" + bytes(4) + b"\x2f" + struct.pack("<I", bits)


def webp_lossy(width, height):
    head = b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(4)
    return head + b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, height)


def webp_extended(width, height):
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x00\x00\x00\x00WEBPVP8X" + bytes(8) + sizes


def bmp(width, height):
    return b"BM" + bytes(12) + struct.pack("<Iii", 40, width, -height)


sides = st.integers(1, 16383)
MAKERS = {"png": [png], "gif": [gif], "jpeg": [jpeg], "bmp": [bmp]}
MAKERS["webp"] = [webp_lossless, webp_lossy, webp_extended]
ALL = [(kind, maker) for kind, makers in MAKERS.items() for maker in makers]


@pytest.mark.parametrize(("kind", "maker"), ALL)
@given(width=sides, height=sides)
def test_each_format_tells_its_size(kind, maker, width, height):
    assert size_of(maker(width, height)) == PictureSize(kind, width, height)


@pytest.mark.parametrize(("kind", "maker"), ALL)
def test_a_head_that_is_cut_short_tells_none(kind, maker):
    content = maker(300, 200)
    for n_bytes in range(len(content)):
        found = size_of(content[:n_bytes])
        assert found is None or (found.width, found.height) == (300, 200)
    assert size_of(content[:8]) is None


def test_a_jpeg_may_have_padding_and_segments_before_its_frame():
    tables = b"\xff\xc4\x00\x05abc" + b"\xff\xff\xff\xdb\x00\x03x"
    assert size_of(jpeg(640, 480, before=tables)) == PictureSize("jpeg", 640, 480)
    assert size_of(b"\xff\xd8\xff\xd9") is None
    assert size_of(jpeg(0, 480)) is None


@given(st.binary(), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff", b"BM"]))
def test_no_bytes_break_it(content, head):
    found = size_of(head + content)
    assert found is None or (found.width > 0 and found.height > 0)

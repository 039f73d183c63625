"""Pictures that go with a question."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from PySide6.QtCore import QMimeData, QSize
from PySide6.QtGui import QImage

from gui.chats.files import TextFile, read
from gui.chats.pictures import MAX_BYTES, Picture, picture_of
from gui.widgets.pictures import pasted, small
from runner.errors import InvalidRequest

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 3, 2)


def png(width=40, height=20):
    image = QImage(width, height, QImage.Format.Format_RGB32)
    image.fill(0xFF3366)
    mime = QMimeData()
    mime.setImageData(image)
    return pasted(mime)


@pytest.mark.blocking
def test_a_file_is_a_picture_by_what_is_in_it_and_not_by_its_name(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(PNG)
    (tmp_path / "b.png").write_text("words")
    assert read(tmp_path / "a.txt") == Picture("a.txt", PNG)
    assert read(tmp_path / "b.png") == TextFile("b.png", "words")


def test_a_picture_that_is_too_large_is_refused():
    with pytest.raises(InvalidRequest, match="has more than 20,971,520 bytes"):
        picture_of("big.png", PNG + bytes(MAX_BYTES))


@given(st.binary(max_size=200))
def test_no_bytes_are_a_trap(content):
    found = picture_of("x", content)
    assert found is None or found.content == content


def test_a_pasted_picture_is_a_file_and_a_small_one_keeps_its_shape(application):
    content = png()
    assert picture_of("x", content) is not None
    image = small(content, QSize(10, 10))
    assert (image.width(), image.height()) == (10, 5)
    assert pasted(QMimeData()) == b""
    assert small(b"no picture", QSize(10, 10)).isNull()

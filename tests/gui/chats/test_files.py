"""Text files that go with a question."""

from __future__ import annotations

import pytest

from gui.chats.files import MAX_BYTES, TextFile, read, with_files
from runner.errors import InvalidRequest, StoreError


def test_a_file_is_a_code_block_before_the_words():
    text = with_files("What is it?", [TextFile("a.py", "x = 1\n")])
    assert text == "**a.py**\n\n```py\nx = 1\n```\n\nWhat is it?"


def test_a_file_with_fences_gets_a_longer_one():
    assert "\n````md\n```\n````" in with_files("", [TextFile("a.md", "```")])


@pytest.mark.blocking
def test_text_is_read_and_everything_else_refused(tmp_path):
    (tmp_path / "t.txt").write_bytes("\ufeffgrüß\r\ngott".encode())
    assert read(tmp_path / "t.txt") == TextFile("t.txt", "grüß\ngott")
    (tmp_path / "b.bin").write_bytes(b"\x00\xff")
    (tmp_path / "l.txt").write_bytes(b"x" * (MAX_BYTES + 1))
    for path in (tmp_path / "b.bin", tmp_path / "l.txt", tmp_path):
        with pytest.raises(InvalidRequest):
            read(path)
    with pytest.raises((StoreError, InvalidRequest)):
        read(tmp_path / "missing")

"""Paths of images among the words of a question."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from runner.cli.pictures import MAX_BYTES, Typed, read, typed
from runner.errors import InvalidRequest

THERE = {Path(p) for p in ("./cat.png", "./my cat.JPG", "/tmp/a.webp", "../b.jpeg", "./dir/x.gif")}


@pytest.mark.parametrize(
    ("text", "left", "paths"),
    [
        ("what is this? ./cat.png", "what is this?", ["./cat.png"]),
        ("./cat.png what is this?", "what is this?", ["./cat.png"]),
        ("is ./cat.png like ../b.jpeg ?", "is like ?", ["./cat.png", "../b.jpeg"]),
        ("what is './my cat.JPG'?", "what is ?", ["./my cat.JPG"]),
        ('"./my cat.JPG"', "", ["./my cat.JPG"]),
        (r"what is ./my\ cat.JPG", "what is", ["./my cat.JPG"]),
        ("what is ./my cat.JPG", "what is", ["./my cat.JPG"]),
        ("look into ./dir and at ./cat.png", "look into ./dir and at", ["./cat.png"]),
        ("see (/tmp/a.webp)", "see ( )", ["/tmp/a.webp"]),
        ("first\n./dir/x.gif\nlast", "first\n \nlast", ["./dir/x.gif"]),
        ("https://x.org/tmp/a.webp", "https://x.org/tmp/a.webp", []),
        ("./none.png and cat.png, ./cat.pngs", "./none.png and cat.png, ./cat.pngs", []),
        ("a/./cat.png", "a/./cat.png", []),
    ],
)
def test_paths_of_files_go_and_all_other_words_stay(text, left, paths):
    found = typed(text, THERE.__contains__)
    assert found.paths == tuple(map(Path, paths))
    assert " ".join(found.text.split()) == " ".join(left.split())


@given(st.text())
def test_text_without_files_is_left_as_it_is(text):
    assert typed(text, lambda path: False) == Typed(text, ())


@given(st.text(alphabet="./~\\ '\"apng(C:\n"))
def test_whatever_is_typed_nothing_breaks(text):
    found = typed(text, lambda path: True)
    assert len(found.text) <= len(text) + len(found.paths)


def test_a_long_line_is_not_tried_over_and_over():
    tried = []
    text = "./a.png" * 2000
    assert typed(text, lambda path: bool(tried.append(path))).text == text
    assert len(tried) < 20


def test_a_file_is_read_whole_and_one_too_large_not_at_all(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"bytes")
    assert read(path).content == b"bytes"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InvalidRequest, match=str(MAX_BYTES)):
        read(path)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read(tmp_path)

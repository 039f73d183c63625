"""Paths of images in what somebody typed: the files are shown to the model, the paths go.

As in ``ollama run``: a path begins with ``/``, ``./``, ``../``, ``~/`` or a drive, may be in quotes
or have its spaces escaped as a shell does when a file is dropped on it, and ends like an image.
Words that name no file stay words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from runner.domain.chat import Image
from runner.errors import InvalidRequest
from runner.paths import given_path

#: More than any daemon takes: a larger file is not even read.
MAX_BYTES = 100 << 20
_START = re.compile(r"""(?<![^\s'"(])(?:[A-Za-z]:|~|\.{1,2})?[/\\]""")
_END = re.compile(r"\.(?:jpe?g|png|webp|gif|bmp)(?!\w)", re.IGNORECASE)
#: Characters of a path, and endings inside one, that are looked at.
_LONGEST, _MOST_ENDINGS = 4096, 8
_ESCAPED = re.compile(r"\\(.)")
_QUOTES = "'\""


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed, without the paths, and the files that they name, in order."""

    text: str
    paths: tuple[Path, ...]


def typed(text: str, is_file: Callable[[Path], bool] = Path.is_file) -> Typed:
    """Return ``text`` without the paths of images that are there."""
    paths: list[Path] = []
    kept, at = "", 0
    for start in _START.finditer(text):
        if start.start() < at:
            continue
        if found := _path_at(text, start.start(), is_file):
            path, end = found
            begin = start.start()
            before = text[begin - 1 : begin]
            if before and before in _QUOTES and text[end : end + 1] == before:
                begin, end = begin - 1, end + 1
            kept += text[at:begin].rstrip(" ") + (" " if text[at:begin].strip() else "")
            at = end
            paths.append(path)
    if not paths:
        return Typed(text, ())
    return Typed((kept + text[at:].lstrip(" ")).strip(), tuple(paths))


def read(path: Path) -> Image:
    """Return the image that a file holds.

    Raises:
        InvalidRequest: It is too large, or cannot be read.
    """
    try:
        n_bytes = path.stat().st_size
        if n_bytes > MAX_BYTES:
            raise InvalidRequest(
                f"'{path}' has {n_bytes} bytes; at most {MAX_BYTES} are read",
                hint="make the image smaller: models see a few hundred pixels in each direction",
            )
        return Image(path.read_bytes())
    except OSError as error:
        raise InvalidRequest(f"'{path}' cannot be read: {error.strerror}") from None


def _path_at(text: str, start: int, is_file: Callable[[Path], bool]) -> tuple[Path, int] | None:
    """The shortest path that begins at ``start`` and names a file, and where it ends."""
    line_end = text.find("\n", start, start + _LONGEST)
    endings = _END.finditer(text, start, start + _LONGEST if line_end < 0 else line_end)
    for ending in islice(endings, _MOST_ENDINGS):
        raw = text[start : ending.end()]
        for spelling in dict.fromkeys((raw, _ESCAPED.sub(r"\1", raw))):
            try:
                path = given_path(spelling)
                if is_file(path):
                    return path, ending.end()
            except (OSError, ValueError):  # no path of this system
                continue
    return None

"""Text files that go with a question: read, checked, and put into its words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gui.chats import pictures
from gui.chats.pictures import Picture
from runner.errors import InvalidRequest, StoreError

#: Bytes of a file that may go with a question.
MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file and what is in it."""

    name: str
    text: str


def read(path: Path) -> TextFile | Picture:
    """Return a file's text, or the picture it is; not on the GUI's thread.

    Raises:
        InvalidRequest: It is too long, or neither.
        StoreError: It cannot be read.
    """
    try:
        if not path.is_file():
            raise InvalidRequest(f"{path.name} is not a file", hint="drop files, not folders")
        with path.open("rb") as file:
            raw = file.read(max(MAX_BYTES, pictures.MAX_BYTES) + 1)
    except OSError as error:
        raise StoreError(f"cannot read {path.name}: {error.strerror}") from None
    if (picture := pictures.picture_of(path.name, raw)) is not None:
        return picture
    if len(raw) > MAX_BYTES:
        raise InvalidRequest(
            f"{path.name} has more than {MAX_BYTES:,} bytes", hint="take the part that matters"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InvalidRequest(
            f"{path.name} is not text in UTF-8",
            hint="text files and pictures can go with a question",
        )
    return TextFile(path.name, text.replace("\r\n", "\n"))


def with_files(text: str, files: list[TextFile]) -> str:
    """Return what is sent: each file as a code block under its name, then the words."""
    parts = []
    for file in files:
        fence = "```"
        while fence in file.text:
            fence += "`"
        language = Path(file.name).suffix.removeprefix(".")
        body = file.text.removesuffix("\n")
        parts.append(f"**{file.name}**\n\n{fence}{language}\n{body}\n{fence}")
    return "\n\n".join([*parts, text] if text else parts)

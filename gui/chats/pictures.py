"""Pictures that go with a question: what is taken, and how it is called."""

from __future__ import annotations

from dataclasses import dataclass

from runner.domain.picture import size_of
from runner.errors import InvalidRequest

#: Bytes of a picture that may go with a question, and how many of them.
MAX_BYTES = 20 * 1024 * 1024
MAX_PICTURES = 8


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's file: its name, and its bytes as they are."""

    name: str
    content: bytes


def picture_of(name: str, content: bytes) -> Picture | None:
    """Return the picture in a file; ``None``: it is none.

    Raises:
        InvalidRequest: It is one, and too large.
    """
    if size_of(content[: 1 << 20]) is None:
        return None
    if len(content) > MAX_BYTES:
        raise InvalidRequest(
            f"{name} has more than {MAX_BYTES:,} bytes", hint="take a smaller picture"
        )
    return Picture(name, content)

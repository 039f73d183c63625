"""What pictures may come in: their files and their pixels, told from their heads alone.

A small file can stand for billions of pixels; whoever decodes it pays for those.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.domain.chat import Message
from runner.domain.picture import size_of
from runner.errors import InvalidRequest, TooLarge

#: Bytes of one file, pixels of one picture, and pictures of one request.
MAX_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 64 * 1024 * 1024
MAX_PICTURES = 100


def check_pictures(messages: Sequence[Message]) -> None:
    """Do nothing when all pictures of a conversation may come in.

    Raises:
        TooLarge: One is too large, or there are too many.
        InvalidRequest: One is no picture of a format known here.
    """
    n_pictures = 0
    for index, message in enumerate(messages):
        for image in message.images:
            n_pictures += 1
            _check(image.content, f"messages[{index}]")
    if n_pictures > MAX_PICTURES:
        raise TooLarge(f"the request has {n_pictures} images; at most {MAX_PICTURES} are taken")


def _check(content: bytes, where: str) -> None:
    if len(content) > MAX_BYTES:
        raise TooLarge(
            f"'{where}': an image of {len(content)} bytes; at most {MAX_BYTES} are taken",
            hint="make it smaller: models see a few hundred pixels in each direction",
            param=where,
        )
    size = size_of(content)
    if size is None:
        raise InvalidRequest(
            f"'{where}': the image is of no known format, or damaged",
            hint="send PNG, JPEG, WebP, GIF or BMP",
            param=where,
        )
    if size.width * size.height > MAX_PIXELS:
        raise TooLarge(
            f"'{where}': an image of {size.width} x {size.height} pixels;"
            f" at most {MAX_PIXELS} are taken",
            hint="make it smaller: models see a few hundred pixels in each direction",
            param=where,
        )

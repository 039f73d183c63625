"""Pictures in a request: base64 to bytes, within limits.

Whether the model can see is not known here; a picture is checked all the same, so that what is
wrong with it is said first and in the same words for every model.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from runner.domain.chat import Image
from runner.errors import InvalidRequest, Unsupported

#: Most pictures of one turn, and bytes of one.
MAX_IMAGES, MAX_IMAGE_BYTES = 64, 32 << 20


def laid_out(parts: Iterable[str | Image]) -> tuple[str, tuple[Image, ...]]:
    """Return the text of a turn made of parts, and its pictures, each where it stands.

    A line break is between texts; none is around a picture, as models were trained.
    """
    text, images, follows_text = "", [], False
    for part in parts:
        if isinstance(part, Image):
            images.append(replace(part, at=len(text)))
        else:
            text += f"\n{part}" if follows_text else part
        follows_text = not isinstance(part, Image)
    return text, tuple(images)


def parse_images(raw: list[Any] | None, where: str) -> tuple[Image, ...]:
    """Return the pictures of one turn, each base64 text, as Ollama has them.

    Raises:
        InvalidRequest: One is no base64, or there are too many or too large ones.
    """
    if raw and len(raw) > MAX_IMAGES:
        raise InvalidRequest(f"{where} has {len(raw)} entries, at most {MAX_IMAGES}", param=where)
    return tuple(parse_image(each, f"{where}[{index}]") for index, each in enumerate(raw or ()))


def prompt_images(raw: list[Any] | None, bare: str) -> tuple[Image, ...]:
    """Return the pictures of a prompt.

    Args:
        raw: As in ``parse_images``.
        bare: The field for whose sake no template is put around the prompt; empty: one is.

    Raises:
        InvalidRequest: As ``parse_images``; or nothing says where they would stand.
    """
    images = parse_images(raw, "images")
    if images and bare:
        raise InvalidRequest(
            f"a request with '{bare}' takes no images: the model's template says where they stand",
            hint=f"leave '{bare}' out, or send the images to /api/chat",
            param="images",
        )
    return images


def parse_image(text: Any, where: str) -> Image:
    """Return the picture that base64 ``text`` holds.

    Raises:
        InvalidRequest: It is no base64, nothing, or too large.
    """
    if not isinstance(text, str):
        raise InvalidRequest(f"'{where}' must be a string", param=where)
    if len(text) // 4 * 3 > MAX_IMAGE_BYTES:
        raise InvalidRequest(
            f"'{where}' is larger than {MAX_IMAGE_BYTES} bytes",
            hint="send a smaller image",
            param=where,
        )
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII
        raise InvalidRequest(
            f"'{where}' is not base64", hint="send the image's bytes as base64", param=where
        ) from None
    if not content:
        raise InvalidRequest(f"'{where}' is empty", param=where)
    return Image(content)


def parse_image_url(part: dict[str, Any], where: str) -> Image:
    """Return the picture of OpenAI's ``image_url``: a data URI, since nothing is fetched.

    Raises:
        RequestError: It is something else, or the picture in it is not sound.
    """
    raw = part.get("image_url")
    field = f"{where}.image_url"
    url = raw.get("url") if isinstance(raw, dict) else raw
    if isinstance(raw, dict):
        field += ".url"
    if not isinstance(url, str):
        raise InvalidRequest(f"'{field}' must be a string", param=field)
    if not url.startswith("data:"):
        raise Unsupported(
            "image URLs are not currently supported, please use base64 encoded data instead",
            hint="nothing is fetched from the network: send data:image/png;base64,...",
            param=field,
        )
    head, comma, data = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise InvalidRequest(
            f"'{field}' is no data URI in base64",
            hint="write data:image/png;base64, and then the data",
            param=field,
        )
    return parse_image(data, field)

"""A prompt with pictures: each image looked at once, and put among the tokens where it stands.

Runs on the thread that prepares prompts.  What the template does with text is not known here; it
must bring each image exactly once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence as Seq

from msgspec import structs

from runner.domain.chat import Image, Message
from runner.engine.backend import Eyes, Vocabulary
from runner.engine.pictures import Picture, Seen
from runner.errors import InvalidRequest, RequestError, TemplateFailed, Unsupported
from runner.prompt.literal import Part
from runner.protocol.messages import Generate


class Looks:
    """The images of one request, looked at when they are first wanted."""

    def __init__(self, eyes: Eyes | None, messages: Iterable[Message]) -> None:
        """Take what looks, and all turns of the request, of which some may be left out later."""
        self._eyes = eyes
        self._seen: dict[bytes, Seen] = {}
        self._numbers: dict[bytes, int] = {}
        self._n_images = 0
        for number, image in enumerate(images_of(messages), 1):
            self._n_images = number
            self._numbers.setdefault(image.content, number)

    def __call__(self, image: Image) -> Seen:
        """Return what an image is to the model.

        Raises:
            RequestError: It cannot be decoded, or the model cannot take it; the message says which
                one it is.
        """
        if self._eyes is None:
            raise Unsupported(
                "this model does not support vision",
                hint="leave the images out: this model reads text only",
                param="images",
            )
        content = image.content
        if content not in self._seen:
            try:
                self._seen[content] = self._eyes.look(content)
            except RequestError as error:
                which = f"image {self._numbers[content]} of {self._n_images}"
                raise type(error)(
                    f"{which}: {error.message}", hint=error.hint, param="images"
                ) from None
        return self._seen[content]


def images_of(messages: Iterable[Message]) -> list[Image]:
    """Return the images of all turns, in order."""
    return [image for message in messages for image in message.images]


def tokenized(
    parts: Iterable[Part],
    images: Seq[Image],
    vocabulary: Vocabulary,
    look: Callable[[Image], Seen],
) -> tuple[list[int], list[Picture]]:
    """Return the tokens of a rendered prompt, and the pictures among them.

    Args:
        parts: The prompt.
        images: Those of its turns, in order.
        vocabulary: What tokenizes text.
        look: What looks at an image.

    Raises:
        TemplateFailed: The template left out an image, or brought one twice.
        InvalidRequest: Nothing follows the last image.
        RequestError: As ``look``.
    """
    tokens: list[int] = []
    pictures: list[Picture] = []
    brought: list[int] = []
    for part in parts:
        if part.image is not None:
            brought.append(part.image)
            seen = look(images[part.image])
            pictures += seen.placed(len(tokens))
            tokens += seen.tokens
            continue
        made = vocabulary.tokenize(part.text, parse_special=not part.is_literal)
        if part.is_literal and len(made) == 1:  # a token of a kind that is parsed regardless
            halves = (part.text[:1], part.text[1:])
            made = [t for h in halves for t in vocabulary.tokenize(h, parse_special=False)]
        tokens += made
    if sorted(brought) != list(range(len(images))):
        raise TemplateFailed(
            f"the model's chat template brought {len(set(brought))} of {len(images)} images,"
            f" {len(brought)} times in all",
            hint="put images into turns of the user; the template may leave out other turns",
        )
    if pictures and pictures[-1].end == len(tokens):
        raise InvalidRequest(
            "nothing follows the last image, so there is nothing to answer from",
            hint="write a question after it",
            param="messages",
        )
    return tokens, pictures


def with_pictures(request: Generate) -> Generate:
    """Return a request with pictures in its prompt as it is answered.

    A full context ends the answer: no picture may be cut.  The tokens of a prompt with pictures
    say nothing without them, so they are not told.

    Raises:
        Unsupported: It is to be deterministic.
    """
    if request.terms.is_deterministic:
        raise Unsupported(
            "deterministic answers are about text alone",
            hint="leave out 'deterministic', or the images",
            param="deterministic",
        )
    return structs.replace(request, shifts=False, wants_tokens=False)

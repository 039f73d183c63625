"""The model card of a repository: what its owner wrote in its ``README.md``.

Only the text is fetched; pictures and links in it stay what they are.  Blocking.
"""

from __future__ import annotations

from runner.domain.name import ModelName
from runner.domain.search import ModelCard
from runner.domain.sizes import told_apart
from runner.errors import SourceError
from runner.hub.repository import Hub

#: Bytes of a file that is fetched at all, and characters of it that are told.
_MAX_BYTES, _MAX_CHARS = 1 << 20, 200_000
_FENCE = "---"


def read_card(hub: Hub, name: ModelName) -> ModelCard:
    """Return the card of ``name``'s repository; its text is empty when there is none.

    Raises:
        NotOnHub: There is no such repository or revision.
        SourceError: The hub refused or failed, or the file is too large for a text.
    """
    listing = hub.listing(f"{name.namespace}/{name.model}", name.revision)
    place = f"{listing.host}/{listing.repository}"
    file = next((one for one in listing.files if one.path.lower() == "readme.md"), None)
    if file is None:
        return ModelCard(place, "")
    if file.n_bytes > _MAX_BYTES:
        size, most = told_apart(file.n_bytes, _MAX_BYTES)
        raise SourceError(
            f"the card of {place} has {size}, more than {most}",
            hint="read it on the repository's page",
        )
    text = without_facts(hub.read_text(listing, file.path))
    return ModelCard(place, text[:_MAX_CHARS], is_cut=len(text) > _MAX_CHARS)


def without_facts(text: str) -> str:
    """Return a card without the block of YAML that it may begin with, which is for the hub.

    Source: the block stands between two lines of ``---``, the first one being the file's first
    (Hugging Face, "Model Cards").
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    first, _, rest = text.partition("\n")
    if first.rstrip() != _FENCE:
        return text.strip("\n")
    lines = rest.split("\n")
    end = next((n for n, line in enumerate(lines) if line.rstrip() == _FENCE), None)
    return text.strip("\n") if end is None else "\n".join(lines[end + 1 :]).strip("\n")

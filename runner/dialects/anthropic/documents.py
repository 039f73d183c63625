"""Documents and search results among the blocks of a turn: text, which the model is to read.

Anthropic's own servers also read PDFs and fetch addresses; here a document is the text that the
request carries.  It reaches the model between tags, with its title and what the caller says of it.
"""

from __future__ import annotations

import msgspec

from runner.errors import InvalidRequest, Unsupported


class DocumentPart(msgspec.Struct):
    """A block of a document that comes in blocks."""

    type: str
    text: str = ""


class DocumentSource(msgspec.Struct):
    """Where a document is: ``text`` has it in ``data``, ``content`` in ``content``."""

    type: str
    data: str = ""
    media_type: str = ""
    content: str | list[DocumentPart] | None = None


class CitationsBody(msgspec.Struct):
    """Whether the answer shall cite the document."""

    enabled: bool | None = None


class DocumentBlock(msgspec.Struct, tag_field="type", tag="document"):
    """A document."""

    source: DocumentSource
    title: str | None = None
    context: str | None = None
    citations: CitationsBody | None = None


class SearchResultBlock(msgspec.Struct, tag_field="type", tag="search_result"):
    """What a search of the caller found; ``source`` says where."""

    source: str
    title: str
    content: list[DocumentPart]
    citations: CitationsBody | None = None


def text_of(block: DocumentBlock | SearchResultBlock, where: str) -> str:
    """Return what the model is to read.

    Args:
        block: What the caller sent.
        where: Its place in the request, for messages.

    Raises:
        Unsupported: It is no text, lies elsewhere, or is to be cited.
        InvalidRequest: It is empty.
    """
    if block.citations is not None and block.citations.enabled:
        raise Unsupported(
            f"'{where}.citations': citations are not offered",
            hint="leave citations out, and ask for quotes in words",
            param=f"{where}.citations",
        )
    if isinstance(block, SearchResultBlock):
        found = _joined(block.content, f"{where}.content")
        return _tagged("search_result", found, title=block.title, source=block.source)
    found = _read(block.source, f"{where}.source")
    return _tagged("document", found, title=block.title, context=block.context)


def _read(source: DocumentSource, where: str) -> str:
    if source.type == "content" and source.content is not None:
        if isinstance(source.content, str):
            return source.content
        return _joined(source.content, f"{where}.content")
    if source.type == "text":
        if source.media_type not in ("", "text/plain"):
            raise InvalidRequest(
                f"'{where}.media_type' must be text/plain, not '{source.media_type[:60]}'",
                param=f"{where}.media_type",
            )
        if not source.data:
            raise InvalidRequest(f"'{where}.data' is empty", param=f"{where}.data")
        return source.data
    what = f" ({source.media_type[:60]})" if source.media_type else ""
    raise Unsupported(
        f"'{where}': documents of type '{source.type[:40]}'{what} are not read",
        hint='send the document\'s text: {"type": "text", "media_type": "text/plain", "data": ...}',
        param=where,
    )


def _joined(parts: list[DocumentPart], where: str) -> str:
    for index, part in enumerate(parts):
        if part.type != "text":
            raise Unsupported(
                f"'{where}[{index}]': a document has no '{part.type[:40]}' blocks here",
                hint="send images as blocks of the turn, beside the document",
                param=f"{where}[{index}]",
            )
    return "\n".join(part.text for part in parts)


def _tagged(tag: str, text: str, **facts: str | None) -> str:
    lines = [f"<{name}>{value}</{name}>" for name, value in facts.items() if value]
    return "\n".join((f"<{tag}>", *lines, text, f"</{tag}>"))

"""The source of a chat template as a syntax tree; parsing runs nothing of it."""

from __future__ import annotations

from collections.abc import Iterator

import jinja2
from jinja2 import nodes

from runner.prompt.template import new_environment

#: Characters of a source that is looked at; the largest templates in use have a tenth of it.
MAX_SOURCE = 1 << 20


def parsed(source: str) -> nodes.Template | None:
    """Return the tree of ``source``; ``None`` when it is not valid, or beyond all measure."""
    if len(source) > MAX_SOURCE:
        return None
    try:
        return new_environment().parse(source)
    except (jinja2.TemplateError, RecursionError, ValueError, OverflowError):
        return None


def texts_of(tree: nodes.Template) -> Iterator[str]:
    """Yield every text in a template: what it writes, and the strings in its expressions."""
    for written in tree.find_all(nodes.TemplateData):
        yield written.data
    for constant in tree.find_all(nodes.Const):
        if isinstance(constant.value, str):
            yield constant.value

"""A chat template of either language, made ready to render: its source tells which it is.

A model's file carries Jinja; a Modelfile's TEMPLATE, and what hubs keep beside a file for Ollama,
is Go's language.  Statements tell them apart: ``{%`` is Jinja's alone, and what begins an action
in Go (``{{ .``, ``{{ if``, ``{{- range``) is never good Jinja.
"""

from __future__ import annotations

import re

import jinja2

from runner.errors import TemplateFailed
from runner.prompt.gotemplate.chat import GoChatTemplate, reads
from runner.prompt.template import ChatTemplate, new_environment

_GO = re.compile(
    r"\{\{-?\s*(?:[.$`]|/\*|(?:if|range|with|else|end|define|block|template|break|continue)\b(?!\s*\()"
    r"|[a-zA-Z]+\s+[.$`])"
)
#: A template of either language.
Template = ChatTemplate | GoChatTemplate

_JINJA = re.compile(r"\{%|\{#")


def is_go(source: str) -> bool:
    """Whether ``source`` is written in Go's template language."""
    return not _JINJA.search(source) and _GO.search(source) is not None


def inserts(source: str) -> bool:
    """Whether the template says how to fill in what comes before a given text."""
    return is_go(source) and reads(source).insert


def compiled(source: str, *, bos_text: str = "", eos_text: str = "") -> Template:
    """Return the template ``source``, which renders messages.

    Args:
        source: In either language.
        bos_text: What Jinja templates know as ``bos_token``.
        eos_text: Likewise.

    Raises:
        TemplateFailed: It is not valid; the message names the line.
    """
    if is_go(source):
        return GoChatTemplate(source)
    return ChatTemplate(source, bos_text=bos_text, eos_text=eos_text)


def check(source: str) -> None:
    """Return if ``source`` is a valid template; it is parsed, and nothing of it runs.

    Raises:
        TemplateFailed: It is not; the message names the line.
    """
    if is_go(source):
        GoChatTemplate(source)
        return
    try:
        new_environment().parse(source)
    except jinja2.TemplateSyntaxError as error:
        reason = f"line {error.lineno}: {error.message}"
    except (jinja2.TemplateError, RecursionError, ValueError, OverflowError) as error:
        reason = str(error)[:200]
    else:
        return
    raise TemplateFailed(f"template error: {reason}", hint="mend the TEMPLATE, or leave it out")

"""Model names: their grammar, their short form, their place on disk.

    [scheme://][host/][namespace/]model[:tag]

    smollm2                                   corral.local/library/smollm2:latest
    hf.co/owner/Some-Model-GGUF:Q4_K_M        three parts: the first is the host
    modelscope.cn/owner/Some-Model-GGUF       ``ms/`` is short for it
    hf.co/owner/Some-Model-GGUF:Q8_0@v1.1     a revision of the repository: branch, tag or commit
    https://huggingface.co/owner/repo/blob/main/file.gguf    a hub's links, see ``hub_url.py``

A part begins with a letter, a digit or ``_`` and goes on with letters, digits, ``_``, ``-`` and
``.``; only a namespace has no ``.``, and only a host may have a port.  Letters' case is kept for
showing and ignored for comparing, as in Ollama (``types/model/name.go``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

from runner.domain.hub_url import HUB_HOSTS, MODELSCOPE, HubLink, read_link
from runner.domain.quant import quantization_in
from runner.errors import InvalidName

DEFAULT_HOST = "corral.local"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

#: Other spellings of a host.  Programs that believe they speak to Ollama send its full names.
_HOST_ALIASES = {**HUB_HOSTS, "ms": MODELSCOPE, "registry.ollama.ai": DEFAULT_HOST}

_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
# Hugging Face allows 96 characters in a repository's name.
_MODEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
# What git allows in the name of a branch or tag, and a hub in an address.
_REVISION = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_./+-]{0,198}[A-Za-z0-9_+-])?")
_MAX_FILE = 1024


@dataclass(frozen=True, eq=False)
class ModelName:
    """A full name; equal to another when ``key`` is equal.

    Attributes:
        host: ``corral.local`` for short names.
        namespace: The hub's owner, or ``library``.
        model: The hub's repository, or the model.
        tag: ``latest`` when none was given.
        revision: Branch, tag or commit that was asked for; no part of the name itself, like
            ``file``: only a hub looks at them, and the library forgets them.
        file: Path inside the repository, from a link to a file.
    """

    host: str
    namespace: str
    model: str
    tag: str
    revision: str = ""
    file: str = ""

    @cached_property
    def key(self) -> tuple[str, str, str, str]:
        """The name for comparing and for paths: lower case, in path order."""
        return self.host.lower(), self.namespace.lower(), self.model.lower(), self.tag.lower()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelName) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        """The shortest spelling that parses back, tag always shown."""
        prefix = "" if self.namespace == DEFAULT_NAMESPACE else f"{self.namespace}/"
        if self.host.lower() != DEFAULT_HOST:
            prefix = f"{self.host}/{self.namespace}/"
        return f"{prefix}{self.model}:{self.tag}"

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Return the full name that ``text`` stands for.

        Raises:
            InvalidName: ``text`` does not follow the grammar.
        """
        link = read_link(text)
        if link is not None:
            return cls._of_link(text, link)
        _refuse_other_address(text)
        rest, _, revision = (text.partition("://")[2] or text).partition("@")
        if "@" in text:
            _check_revision(text, revision)
        path, _, tag = rest.rpartition(":") if ":" in rest.rpartition("/")[2] else (rest, "", "")
        if not tag and rest.endswith(":"):
            raise _invalid(text, "the tag after ':' is empty")
        parts = path.split("/")
        if len(parts) > 3:
            raise _invalid(text, f"{len(parts)} parts; at most host/namespace/model are allowed")
        model = parts[-1]
        namespace = parts[-2] if len(parts) > 1 else DEFAULT_NAMESPACE
        host = parts[0] if len(parts) > 2 else DEFAULT_HOST
        host = _HOST_ALIASES.get(host.lower(), host)
        for what, part, grammar in (
            ("host", host, _HOST),
            ("namespace", namespace, _NAMESPACE if host.lower() == DEFAULT_HOST else _MODEL),
            ("model", model, _MODEL),
            ("tag", tag or DEFAULT_TAG, _TAG),
        ):
            if not grammar.fullmatch(part):
                raise _invalid(
                    text, f"bad {what} '{_shown(part)}'" if part else f"the {what} is empty"
                )
        if revision and host not in HUB_HOSTS:
            raise _invalid(text, "only a hub's repositories have revisions")
        return cls(host, namespace, model, tag or DEFAULT_TAG, revision)

    @classmethod
    def _of_link(cls, text: str, link: HubLink) -> ModelName:
        """Return the name for a hub's link; the file that it names gives the tag."""
        if link.revision:
            _check_revision(text, link.revision)
        if not link.file:
            name = cls.parse(f"{link.host}/{link.repository}")
            return replace(name, revision=link.revision or name.revision)
        parts = link.file.split("/")
        if len(link.file) > _MAX_FILE or not link.file.isprintable() or ".." in parts:
            raise _invalid(text, "bad file path")
        if not parts[-1].lower().endswith(".gguf"):
            raise _invalid(text, f"'{_shown(parts[-1])}' is no GGUF file")
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", parts[-1][: -len(".gguf")]).strip("-.")
        tag = quantization_in(link.file) or stem[:80] or DEFAULT_TAG
        name = cls.parse(f"{link.host}/{link.repository}:{tag}")
        return replace(name, revision=link.revision, file=link.file)


def _refuse_other_address(text: str) -> None:
    """Return unless ``text`` is the address of a file that no hub has."""
    scheme, separator, rest = text.partition("://")
    if scheme.lower() == "file" or (not separator and text.lower().startswith("file:/")):
        raise InvalidName(
            f"'{_shown(text)}' is a file of this machine, and no model's name",
            hint='take it in by its path: corral pull ./model.gguf; to the API it is "path"',
        )
    path = rest.partition("?")[0].rstrip("/")
    if scheme.lower() in ("http", "https") and (path.count("/") > 2 or path.endswith(".gguf")):
        raise InvalidName(
            f"'{_shown(rest.partition('/')[0])}' is no model hub that is known here",
            hint="links of huggingface.co and modelscope.cn can be pulled; download another"
            " host's file, then: corral pull ./model.gguf",
        )


def _check_revision(text: str, revision: str) -> None:
    if not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision:
        raise _invalid(text, f"bad revision '{_shown(revision)}'" if revision else "no revision")


def _invalid(text: str, reason: str) -> InvalidName:
    return InvalidName(
        f"invalid model name '{_shown(text)}': {reason}",
        hint="names look like qwen3:4b, hf.co/owner/repo:Q4_K_M or modelscope.cn/owner/repo",
    )


def _shown(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."

"""Ollama's ``/api/create`` and ``/api/blobs``, and Corral's ``/api/modelfile/check``.

Of a body ``paths``, ``adapter_paths``, ``draft_paths``, ``mirrors``, ``sha256`` and ``unset`` are
our own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from runner.dialects import wire
from runner.dialects.fields import named
from runner.dialects.ollama import ModelBody, parse_name
from runner.domain.chat import Message
from runner.domain.create import CheckedModelfile, CreateRequest
from runner.domain.file_types import FILE_TYPES, file_type
from runner.domain.options import OPTION_SPECS, Options, parse_options
from runner.errors import InvalidRequest, Unsupported

_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")
#: Fields of Ollama's that this program cannot follow, and what to do instead.
_INSTEAD = {
    "renderer": "leave it out: the model's own chat template is used; or give a template",
    "parser": "leave it out: how a model calls tools and thinks is told by its template",
    "remote_host": "models here run on this machine",
    "info": "leave it out: what a model is and can do is read from its file and its template",
    "draft_quantize": "quantize the draft first, with corral quantize, and name what that made",
}


class TurnBody(msgspec.Struct):
    """A message of the model's own."""

    role: str
    content: str = ""


class CreateBody(ModelBody, rename={"source": "from"}):
    """``POST /api/create``."""

    source: str | None = None
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    draft_files: dict[str, str] | None = None
    template: str | None = None
    license: str | list[str] | None = None
    system: str | None = None
    parameters: dict[str, Any] | None = None
    messages: list[TurnBody] | None = None
    renderer: str | None = None
    parser: str | None = None
    requires: str | None = None
    quantize: str | None = None
    quantization: str | None = None
    remote_host: str | None = None
    info: dict[str, Any] | None = None
    draft_quantize: str | None = None
    stream: bool | None = None
    paths: list[str] | None = None
    adapter_paths: list[str] | None = None
    draft_paths: list[str] | None = None
    mirrors: list[str] | None = None
    sha256: str | None = None
    unset: list[str] | None = None


class CheckBody(msgspec.Struct):
    """``POST /api/modelfile/check``."""

    modelfile: str


class FindingBody(msgspec.Struct):
    """One thing to say about a Modelfile; ``line`` is 0 where it is about the whole."""

    severity: str
    line: int
    message: str
    hint: str


class CheckAnswer(msgspec.Struct):
    """``formatted`` is the file in its usual form; empty when it cannot be read."""

    ok: bool
    findings: list[FindingBody]
    formatted: str


def checked(made: CheckedModelfile) -> bytes:
    """Return the answer of ``/api/modelfile/check``."""
    findings = [FindingBody(f.severity, f.line, f.message, f.hint) for f in made.findings]
    return wire.encode(CheckAnswer(made.is_good, findings, made.formatted))


_create_body = msgspec.json.Decoder(CreateBody)
_check_body = msgspec.json.Decoder(CheckBody)


@dataclass(frozen=True, slots=True)
class Create:
    """A call of ``/api/create``."""

    request: CreateRequest
    stream: bool


def parse_create(body: bytes) -> Create:
    """Return the call that a body of ``/api/create`` makes.

    Raises:
        RequestError: It names nothing to make a model from, or one of its fields is not good.
    """
    asked = wire.decode(body, _create_body)
    name = parse_name(asked)
    _refuse(asked)
    sources = [asked.source, *(asked.mirrors or ())] if asked.source else []
    paths = _paths(asked.paths, "paths")
    if not sources and not paths and asked.files is None:
        raise InvalidRequest(
            "neither 'from' or 'files' was specified",
            hint="say what the model is made from: a model's name, or a GGUF file",
            param="from",
        )
    if not sources and not paths and not asked.files:
        raise InvalidRequest("no files provided to convert", param="files")
    request = CreateRequest(
        name=name,
        bases=tuple(named(text, "invalid model name") for text in sources),
        sha256=_sha256(asked.sha256),
        files=_blobs(asked.files, "files"),
        adapters=_blobs(asked.adapters, "adapters"),
        drafts=_blobs(asked.draft_files, "draft_files"),
        file_paths=paths,
        adapter_paths=_paths(asked.adapter_paths, "adapter_paths"),
        draft_paths=_paths(asked.draft_paths, "draft_paths"),
        template=asked.template or None,
        system=asked.system,
        license=_license(asked.license),
        options=_options(asked.parameters or {}),
        unset=_unset(asked.unset or (), asked.parameters or {}),
        messages=_messages(asked.messages),
        requires=asked.requires or "",
        quantize=_quantize(asked.quantize or asked.quantization or ""),
    )
    return Create(request, stream=asked.stream is not False)


def parse_check(body: bytes) -> str:
    """Return the Modelfile that is to be looked at."""
    return wire.decode(body, _check_body).modelfile


def parse_digest(text: str) -> str:
    """Return the digest in a path of ``/api/blobs`` as ``sha256:<hex>``.

    Raises:
        InvalidRequest: It is none.
    """
    match = _DIGEST.fullmatch(text)
    if match is None:
        raise InvalidRequest("invalid digest format", param="digest")
    return f"sha256:{match[1].lower()}"


def _refuse(asked: CreateBody) -> None:
    for name in _INSTEAD:
        if getattr(asked, name):
            raise Unsupported(f"{name} is not supported", hint=_INSTEAD[name], param=name)


def _blobs(files: Mapping[str, str] | None, field: str) -> dict[str, str]:
    found = {}
    for path, digest in (files or {}).items():
        place = PurePosixPath(path.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or not place.parts or ":" in place.parts[0]:
            raise InvalidRequest("file path must be relative", param=field)
        found[path] = parse_digest(digest)
    return found


def _paths(texts: list[str] | None, field: str) -> tuple[Path, ...]:
    for text in texts or ():
        if not Path(text).is_absolute() or "\0" in text:
            raise InvalidRequest(f"{field}: '{text[:80]}' is not absolute", param=field)
    return tuple(map(Path, texts or ()))


def _sha256(text: str | None) -> str:
    return parse_digest(f"sha256:{text}")[len("sha256:") :] if text else ""


def _quantize(text: str) -> str:
    try:
        return file_type(text) if text else ""
    except ValueError:
        raise InvalidRequest(
            f"unsupported quantization type {text[:40]} - supported types are"
            f" {', '.join(FILE_TYPES)}",
            param="quantize",
        ) from None


def _license(said: str | list[str] | None) -> str | None:
    return "\n\n".join(said) if isinstance(said, list) else said


def _options(raw: Mapping[str, Any]) -> Options:
    for name in raw:
        if name not in OPTION_SPECS:
            raise InvalidRequest(f"unknown parameter '{name[:80]}'", param="parameters")
    return parse_options(raw)


def _unset(names: Sequence[str], set_too: Collection[str]) -> tuple[str, ...]:
    for name in names:
        if name not in OPTION_SPECS:
            raise InvalidRequest(f"unset: unknown parameter '{name[:80]}'", param="unset")
        if name in set_too:
            raise InvalidRequest(
                f"unset: '{name}' is in parameters too",
                hint="leave it out of one of them",
                param="unset",
            )
    return tuple(names)


def _messages(turns: list[TurnBody] | None) -> tuple[Message, ...] | None:
    if turns is None:
        return None
    for number, turn in enumerate(turns):
        if turn.role.lower() not in ("system", "user", "assistant", "tool"):
            raise InvalidRequest(
                f'messages[{number}].role must be one of "system", "user", or "assistant"',
                param="messages",
            )
    return tuple(Message(turn.role.lower(), turn.content) for turn in turns)

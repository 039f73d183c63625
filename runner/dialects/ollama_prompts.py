"""Prompts without answers: ``/api/tokenize``, ``/api/detokenize`` and ``/api/render``; all our own.

They speak as Ollama's other calls do.  ``_debug_render_only`` is Ollama's own way to the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from runner.dialects import ollama, wire
from runner.dialects.fields import parse_keep_alive
from runner.dialects.ollama_turns import ReplyMessage
from runner.domain.name import ModelName
from runner.domain.prompt import Prompt
from runner.domain.request import InferenceRequest, KeepAlive
from runner.errors import InvalidRequest


class TokenizeBody(ollama.ModelBody):
    """``POST /api/tokenize``; ``content`` is llama-server's name of the text.

    ``parse_special``: control tokens spelt out in the text are read as such.
    """

    text: str | None = None
    content: str | None = None
    parse_special: bool | None = None
    keep_alive: Any = None


class DetokenizeBody(ollama.ModelBody):
    """``POST /api/detokenize``."""

    tokens: list[int] | None = None
    keep_alive: Any = None


class _WhichBody(msgspec.Struct):
    messages: Any = None


class TokensBody(msgspec.Struct):
    """What ``/api/tokenize`` answers."""

    model: str
    tokens: tuple[int, ...]
    count: int


class TextBody(msgspec.Struct):
    """What ``/api/detokenize`` answers."""

    model: str
    text: str


class RenderedBody(msgspec.Struct):
    """What ``/api/render`` answers; ``num_ctx`` is what the model can take in all, in tokens."""

    model: str
    prompt: str
    tokens: tuple[int, ...]
    count: int
    num_ctx: int


class DebugInfo(msgspec.Struct):
    """What ``_debug_render_only`` tells."""

    rendered_template: str
    image_count: int = 0


class DebugBody(msgspec.Struct, omit_defaults=True, kw_only=True):
    """The answer to a call with ``_debug_render_only``."""

    model: str
    created_at: str
    response: str | msgspec.UnsetType = msgspec.UNSET
    message: ReplyMessage | msgspec.UnsetType = msgspec.UNSET
    done: bool
    debug_info: DebugInfo = msgspec.field(name="_debug_info")


_tokenize_body = msgspec.json.Decoder(TokenizeBody)
_detokenize_body = msgspec.json.Decoder(DetokenizeBody)
_which_body = msgspec.json.Decoder(_WhichBody)


@dataclass(frozen=True, slots=True)
class TextCall:
    """A text whose tokens are wanted; ``model`` as the caller wrote it."""

    name: ModelName
    model: str
    text: str
    parse_special: bool
    keep_alive: KeepAlive | None


@dataclass(frozen=True, slots=True)
class TokensCall:
    """Tokens whose text is wanted."""

    name: ModelName
    model: str
    tokens: tuple[int, ...]
    keep_alive: KeepAlive | None


def parse_tokenize(body: bytes) -> TextCall:
    """Return the call that a body of ``/api/tokenize`` makes.

    Raises:
        RequestError: A field is missing or mistyped.
    """
    asked = wire.decode(body, _tokenize_body)
    name = ollama.parse_name(asked)
    text = asked.content if asked.text is None else asked.text
    if text is None:
        raise InvalidRequest("'text' is required", param="text")
    return TextCall(
        name,
        asked.model_text(),
        text,
        parse_special=bool(asked.parse_special),
        keep_alive=parse_keep_alive(asked.keep_alive),
    )


def parse_detokenize(body: bytes) -> TokensCall:
    """Return the call that a body of ``/api/detokenize`` makes.

    Raises:
        RequestError: A field is missing, mistyped or out of range.
    """
    asked = wire.decode(body, _detokenize_body)
    name = ollama.parse_name(asked)
    if asked.tokens is None:
        raise InvalidRequest("'tokens' is required", param="tokens")
    tokens = ollama.token_ids(asked.tokens, "tokens")
    return TokensCall(name, asked.model_text(), tokens, parse_keep_alive(asked.keep_alive))


def parse_render(body: bytes) -> ollama.Call:
    """Return the call whose prompt is wanted: a chat when it has messages, else a generate.

    Raises:
        RequestError: As for a chat or a generate.
    """
    which = wire.decode(body, _which_body)
    return ollama.parse_generate(body) if which.messages is None else ollama.parse_chat(body)


def tokens(model: str, prompt: Prompt) -> bytes:
    """Return the answer of ``/api/tokenize``."""
    return wire.encode(TokensBody(model, prompt.tokens, len(prompt.tokens)))


def text(model: str, prompt: Prompt) -> bytes:
    """Return the answer of ``/api/detokenize``."""
    return wire.encode(TextBody(model, prompt.text))


def rendered(model: str, prompt: Prompt) -> bytes:
    """Return the answer of ``/api/render``."""
    count = len(prompt.tokens)
    return wire.encode(RenderedBody(model, prompt.text, prompt.tokens, count, prompt.n_ctx))


def debug(call: ollama.Call, prompt: Prompt, *, at_ns: int) -> bytes:
    """Return the answer to a call with ``_debug_render_only``, ``at_ns`` since the epoch."""
    return wire.encode(
        DebugBody(
            model=call.model,
            created_at=ollama.rfc3339(at_ns),
            response=msgspec.UNSET if call.is_chat else "",
            message=ReplyMessage("assistant", "") if call.is_chat else msgspec.UNSET,
            done=True,
            debug_info=DebugInfo(prompt.text, _n_images(call.request)),
        )
    )


def _n_images(request: InferenceRequest) -> int:
    return sum(len(turn.images) for turn in request.messages or ())

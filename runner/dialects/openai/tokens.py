"""Prompts without answers: their tokens, how many they are, and their text.

``/v1/tokenize`` and ``/v1/detokenize`` are in vLLM's form, and llama-server's beside it;
``input_tokens`` is OpenAI's, ``/apply-template`` llama-server's.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from runner.dialects import ollama, wire
from runner.dialects.openai.turns import TurnBody, parse_turn
from runner.dialects.tools import parse_tools
from runner.domain.name import ModelName
from runner.domain.prompt import Prompt
from runner.domain.request import InferenceRequest
from runner.errors import InvalidRequest


class TokenizeBody(msgspec.Struct):
    """A text, or a conversation through the model's template.

    ``content`` is llama-server's name of ``prompt``.
    """

    model: str
    prompt: str | None = None
    content: str | None = None
    messages: list[TurnBody] | None = None
    tools: list[Any] | None = None


class DetokenizeBody(msgspec.Struct):
    """Tokens whose text is wanted."""

    model: str
    tokens: list[int]


class TokenizedBody(msgspec.Struct):
    """The tokens; ``max_model_len`` is what the model can take in all."""

    count: int
    max_model_len: int
    tokens: tuple[int, ...]


class DetokenizedBody(msgspec.Struct):
    """The text, under vLLM's name and llama-server's."""

    prompt: str
    content: str


class InputTokensBody(msgspec.Struct):
    """How many tokens a prompt has."""

    input_tokens: int
    object: Literal["response.input_tokens"] = "response.input_tokens"


class TemplateBody(msgspec.Struct):
    """A conversation as the model's template writes it."""

    prompt: str


_tokenize_body = msgspec.json.Decoder(TokenizeBody)
_detokenize_body = msgspec.json.Decoder(DetokenizeBody)


def parse_tokenize(body: bytes) -> InferenceRequest:
    """Return the request whose prompt a body wants.

    Raises:
        RequestError: A field is missing or mistyped, or there are two prompts.
    """
    asked = wire.decode(body, _tokenize_body)
    name = ModelName.parse(asked.model)
    prompt = asked.content if asked.prompt is None else asked.prompt
    if (prompt is None) == (asked.messages is None):
        raise InvalidRequest("send either 'prompt' or 'messages'", param="prompt")
    messages = None
    if asked.messages is not None:
        messages = tuple(
            parse_turn(turn, f"messages[{i}]") for i, turn in enumerate(asked.messages)
        )
    return InferenceRequest(name, messages=messages, prompt=prompt, tools=parse_tools(asked.tools))


def parse_detokenize(body: bytes) -> tuple[ModelName, tuple[int, ...]]:
    """Return the model and the tokens.

    Raises:
        RequestError: A field is missing, mistyped or out of range.
    """
    asked = wire.decode(body, _detokenize_body)
    return ModelName.parse(asked.model), ollama.token_ids(asked.tokens, "tokens")


def tokenized(prompt: Prompt) -> bytes:
    """Return the answer of ``/v1/tokenize``."""
    return wire.encode(TokenizedBody(len(prompt.tokens), prompt.n_ctx, prompt.tokens))


def detokenized(prompt: Prompt) -> bytes:
    """Return the answer of ``/v1/detokenize``."""
    return wire.encode(DetokenizedBody(prompt.text, prompt.text))


def counted(prompt: Prompt) -> bytes:
    """Return the answer of ``/v1/responses/input_tokens``."""
    return wire.encode(InputTokensBody(len(prompt.tokens)))


def rendered(prompt: Prompt) -> bytes:
    """Return the answer of ``/apply-template``."""
    return wire.encode(TemplateBody(prompt.text))
